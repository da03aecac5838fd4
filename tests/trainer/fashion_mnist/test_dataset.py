import shutil
from pathlib import Path

import numpy as np
import pytest

from trainer.fashion_mnist.dataset import (
    DEBIAN_FOLDER,
    DatasetError,
    Split,
    load_test,
    load_train,
    missing_files,
    split_validation,
)
from trainer.fashion_mnist.download import find_dataset


@pytest.fixture
def copy(data_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data_folder, tmp_path / "copy"))


def test_images_and_labels_are_read_in_their_documented_shape(data_folder: Path) -> None:
    train = load_train(data_folder, verify=False)
    assert train.images.shape == (450, 28, 28, 1)
    assert train.images.dtype == np.uint8
    assert train.labels.shape == (450,)
    assert train.labels.dtype == np.int64
    assert len(load_test(data_folder, verify=False)) == 150


def test_uncompressed_files_are_read_too(copy: Path) -> None:
    import gzip

    packed = copy / "train-labels-idx1-ubyte.gz"
    (copy / "train-labels-idx1-ubyte").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert len(load_train(copy, verify=False)) == 450


def test_a_folder_without_one_of_the_files_is_refused_by_its_name(copy: Path) -> None:
    (copy / "train-labels-idx1-ubyte.gz").unlink()
    assert missing_files(copy) == ["train-labels-idx1-ubyte"]
    with pytest.raises(DatasetError, match="missing: train-labels-idx1-ubyte"):
        find_dataset(copy)
    with pytest.raises(DatasetError, match="Missing: train-labels-idx1-ubyte"):
        load_train(copy, verify=False)


def test_a_truncated_file_is_refused(copy: Path) -> None:
    path = copy / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DatasetError, match="readable file"):
        load_train(copy, verify=False)


def test_a_file_that_is_no_gzip_is_refused(copy: Path) -> None:
    (copy / "train-images-idx3-ubyte.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(DatasetError, match="readable file"):
        load_train(copy, verify=False)


def test_altered_data_is_refused_unless_it_is_declared_as_ones_own(copy: Path) -> None:
    with pytest.raises(DatasetError, match="--unverified-data"):
        load_train(copy)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x00\x08\x03", b"\x00\x00\x08\x01" + bytes(12), b"\x00\x00\x08\x03" + bytes(20)],
)
def test_content_that_is_no_idx_file_is_refused(copy: Path, content: bytes) -> None:
    (copy / "train-images-idx3-ubyte.gz").unlink()
    (copy / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DatasetError, match="Expected"):
        load_train(copy, verify=False)


def test_labels_outside_the_taxonomy_are_refused(copy: Path) -> None:
    from tests.trainer.conftest import write_idx

    write_idx(copy / "train-labels-idx1-ubyte.gz", np.full(450, 10, np.uint8), 2049)
    with pytest.raises(DatasetError, match="labels from 0 to 9"):
        load_train(copy, verify=False)


def test_equal_pictures_fall_on_the_same_side_of_the_split(data_folder: Path) -> None:
    data = load_train(data_folder, verify=False)
    doubled = Split(
        images=np.concatenate([data.images, data.images]),
        labels=np.concatenate([data.labels, data.labels]),
    )
    train, validation = split_validation(doubled, 0.2)
    assert len(train) + len(validation) == len(doubled)
    assert 0.1 < len(validation) / len(doubled) < 0.3
    seen = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in seen for image in validation.images)


def test_the_split_does_not_depend_on_the_order(data_folder: Path) -> None:
    data = load_train(data_folder, verify=False)
    backwards = data.take(np.arange(len(data))[::-1])
    forward = split_validation(data, 0.2)[1]
    assert {i.tobytes() for i in forward.images} == {
        i.tobytes() for i in split_validation(backwards, 0.2)[1].images
    }


def test_the_published_dataset_has_the_published_checksums() -> None:
    """Where Debian's package is installed; elsewhere the rule has nothing to hold against."""
    if missing_files(DEBIAN_FOLDER):
        return
    assert len(load_test(DEBIAN_FOLDER)) == 10_000
