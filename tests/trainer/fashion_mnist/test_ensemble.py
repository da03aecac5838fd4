from pathlib import Path

import keras
import numpy as np
import pytest

from trainer.fashion_mnist.config import ConfigError, TrainConfig
from trainer.fashion_mnist.dataset import load_train
from trainer.fashion_mnist.ensemble import join, joined_run
from trainer.fashion_mnist.network import build_explainer, build_network, logits_of, predict
from trainer.fashion_mnist.train import SUMMARY, Run
from trainer.fine_tuning import keep_statistics, members

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def other(small_config: TrainConfig) -> keras.Model:
    """A second network, of other weights than the run's."""
    keras.utils.set_random_seed(1)
    return build_network(small_config)


def test_the_scores_of_joined_networks_are_their_mean(
    run: Run, other: keras.Model, data_folder: Path
) -> None:
    images = load_train(data_folder, verify=False).images[:40]
    joined = logits_of(join([run.network, other], mirrored=False), images)
    each = [logits_of(network, images) for network in (run.network, other)]
    np.testing.assert_allclose(joined, np.mean(each, axis=0), atol=1e-4)


def test_a_mirrored_network_says_the_same_of_a_picture_and_its_mirror_image(
    run: Run, other: keras.Model, data_folder: Path
) -> None:
    images = load_train(data_folder, verify=False).images[:40]
    network = join([run.network, other], mirrored=True)
    assert np.abs(logits_of(run.network, images[:, :, ::-1]) - logits_of(run.network, images)).max()
    np.testing.assert_allclose(
        logits_of(network, images[:, :, ::-1]), logits_of(network, images), atol=1e-4
    )


def test_the_class_maps_of_a_mirrored_network_lie_where_the_evidence_is(
    run: Run, data_folder: Path
) -> None:
    images = load_train(data_folder, verify=False).images[:40]
    both = predict(build_explainer(join([run.network], mirrored=True)), images)
    one = build_explainer(run.network)
    seen, mirrored = predict(one, images), predict(one, images[:, :, ::-1])
    expected = (seen.class_maps + mirrored.class_maps[:, :, ::-1]) / 2
    np.testing.assert_allclose(both.class_maps, expected, atol=1e-4)
    np.testing.assert_allclose(both.class_maps.mean((1, 2)), both.logits, atol=1e-4)


def test_no_two_variables_of_joined_networks_have_one_path(run: Run, other: keras.Model) -> None:
    # Keras on PyTorch would forget to set back the gradient of one of them.
    paths = [each.path for each in join([run.network, other], mirrored=True).variables]
    assert len(set(paths)) == len(paths)


def test_a_mirrored_network_has_no_more_parameters(run: Run) -> None:
    mirrored = join([run.network], mirrored=True)
    assert mirrored.count_params() == run.network.count_params()


def test_a_joined_run_says_what_it_was_made_of(run: Run, data_folder: Path) -> None:
    joined = joined_run([run.folder, run.folder], data_folder, mirrored=False, verify=False)
    assert joined.summary["parameters"] == 2 * run.summary["parameters"]
    assert joined.summary["validation_accuracy"] == run.summary["validation_accuracy"]
    assert [each["summary"] for each in joined.summary["members"]] == [run.summary, run.summary]


def test_an_unfinished_run_is_not_joined(run: Run, data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=SUMMARY):
        joined_run([run.folder, tmp_path], data_folder, mirrored=False, verify=False)


def test_fine_tuning_keeps_the_statistics_of_networks_inside(
    run: Run, other: keras.Model, data_folder: Path
) -> None:
    images = load_train(data_folder, verify=False).images[:40].astype(np.float32)
    network = join([run.network, other], mirrored=True)
    keep_statistics(network)
    before = np.asarray(network(images, training=False))
    np.testing.assert_allclose(np.asarray(network(images, training=True)), before, atol=1e-4)


def test_members_are_counted(run: Run, other: keras.Model) -> None:
    assert members(run.network) == 1
    assert members(join([run.network, other], mirrored=True)) == 2
