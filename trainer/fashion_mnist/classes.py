"""The ten classes of Fashion-MNIST by their ids, in the dataset's own order.

Names and all else stand in catalog/taxonomies/fashion-mnist.yaml; a test compares the two.
"""

LABELS: tuple[str, ...] = (
    "t-shirt-top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)
