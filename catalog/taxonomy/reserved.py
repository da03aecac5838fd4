"""What a person may say of a product beside its category; never ids of a taxonomy."""

# What a person (never the model) calls a product that belongs to none of the categories.
NOT_IN_TAXONOMY = "not_in_taxonomy"

# What a person says when the picture shows too little to tell.
BAD_IMAGE = "bad_image"

RESERVED = (NOT_IN_TAXONOMY, BAD_IMAGE)
