"""`python -m review`: the server, as `tagger up` starts it."""

from catalog.settings import settings
from review.serve import bind, serve

if __name__ == "__main__":
    serve(settings(), bind(settings()))
