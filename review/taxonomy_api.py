"""What the labels mean, for the page and for programs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from sqlalchemy.exc import NoResultFound

from catalog.taxonomy.model import Category, Taxonomy
from db.ledger.taxonomies import taxonomy_in_force, taxonomy_to_judge_by
from review.access import Signed, limited
from review.desk import desk_of
from review.problems import ProblemError, responses
from review.schemas import ShortText

router = APIRouter(
    prefix="/api/v1",
    tags=["review"],
    dependencies=[Depends(limited(lambda desk: desk.api_limit))],
    responses=responses(404),
)


class ShownCategory(BaseModel):
    """A category that may be given. terms: all it is found by; parents: names, the root first."""

    id: str
    name: str
    parents: list[str]
    terms: list[str]
    key: str | None


class ShownTaxonomy(BaseModel):
    """The categories of one version of a taxonomy, in the order they are shown."""

    name: str
    version: int
    title: str
    categories: list[ShownCategory]


@router.get("/taxonomy")
def get_taxonomy(
    request: Request, person: Signed, model_version: Annotated[ShortText | None, Query()] = None
) -> ShownTaxonomy:
    """The categories that may be given to a model's items; without a model, those in force."""
    with desk_of(request).read() as session:
        if model_version is None:
            return shown(taxonomy_in_force(session))
        try:
            return shown(taxonomy_to_judge_by(session, model_version))
        except NoResultFound as error:
            detail = (
                f"Expected a model that has tagged something, found none named {model_version!r}."
            )
            raise ProblemError(404, detail) from error


def shown(taxonomy: Taxonomy) -> ShownTaxonomy:
    """A taxonomy as the page reads it."""
    return ShownTaxonomy(
        name=taxonomy.name,
        version=taxonomy.version,
        title=taxonomy.title,
        categories=[
            ShownCategory(
                id=each,
                name=taxonomy.name_of(each),
                parents=[taxonomy.name_of(above) for above in taxonomy.ancestors(each)[::-1]],
                terms=_terms(taxonomy.by_id[each]),
                key=taxonomy.by_id[each].key,
            )
            for each in taxonomy.ids
        ],
    )


def _terms(category: Category) -> list[str]:
    found = (category.name, *category.aliases, *category.translations.values(), category.id)
    return list(dict.fromkeys(found))
