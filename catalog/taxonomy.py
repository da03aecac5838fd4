"""The ten classes of Fashion-MNIST, in the dataset's own order."""

LABELS: tuple[str, ...] = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# What a person (never the model) calls a product that belongs to none of the classes.
NOT_IN_TAXONOMY = "not_in_taxonomy"

# What a person says when the picture shows too little to tell.
BAD_IMAGE = "bad_image"
