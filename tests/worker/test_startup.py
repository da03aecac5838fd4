from dataclasses import replace

import pytest

from catalog.bundle import BundleError, Manifest
from catalog.errors import SettingsError
from catalog.images.preprocessing import preprocessing_of
from catalog.networks import NetworkName, Preprocessing
from catalog.settings import read_settings
from tests.factories import manifest, network
from worker.broker import connect, version
from worker.local.embedded import EmbeddedBroker
from worker.serving import require_same_preprocessing
from worker.startup import prefetch_multiplier, require_version


@pytest.mark.parametrize(("processes", "needed"), [(1, 256), (2, 224), (4, 208)])
def test_prefetch_fills_three_batches_for_each_child_and_one_more(
    processes: int, needed: int
) -> None:
    assert prefetch_multiplier(read_settings(), {"ingest"}, processes) == needed
    assert needed * processes >= 64 * (3 * processes + 1)


def test_prefetch_below_the_batch_rule_is_refused_with_the_wanted_value() -> None:
    settings = read_settings(prefetch_multiplier=4)
    with pytest.raises(SettingsError, match=r"TAGGER_PREFETCH_MULTIPLIER=4: .* Raise it to 128"):
        prefetch_multiplier(settings, {"ingest"}, 1)


def test_prefetch_above_the_rule_and_for_bulk_is_the_operators_choice() -> None:
    settings = read_settings(prefetch_multiplier=200)
    assert prefetch_multiplier(settings, {"ingest"}, 1) == 200
    assert prefetch_multiplier(read_settings(prefetch_multiplier=4), {"bulk"}, 2) == 4


def made_for(steps: Preprocessing) -> Manifest:
    return manifest(networks={NetworkName.REDUCED: network(preprocessing=steps)})


def test_bundle_of_another_preprocessing_is_refused() -> None:
    require_same_preprocessing(manifest())
    steps = preprocessing_of(NetworkName.REDUCED)
    with pytest.raises(
        BundleError, match="found 'other-9' of the network reduced in bundle test-1"
    ):
        require_same_preprocessing(made_for(replace(steps, name="other-9")))
    other = replace(steps, constants={**steps.constants, "cutout.grabcut_px": 32})
    with pytest.raises(BundleError, match=r"other values of cutout\.grabcut_px"):
        require_same_preprocessing(made_for(other))
    with pytest.raises(BundleError, match="other values of decode_px"):
        require_same_preprocessing(made_for(replace(steps, decode_px=512)))


def test_broker_that_is_too_old_is_refused(broker: EmbeddedBroker) -> None:
    require_version(version(connect(broker.url)))
    require_version(None)
    with pytest.raises(SettingsError, match=r"the broker is Redis 6\.0\.16; .* Redis 6\.2"):
        require_version((6, 0, 16))
