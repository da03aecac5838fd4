"""Pictures for the browser: always from here, never from where the shop keeps them."""

import hashlib
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from catalog.images.overlay import grad_cam
from catalog.networks import NetworkName
from db.ledger.models import Model, Product, Tagging, Thumbnail
from db.taxonomies.moves import moves_of_models, now_called
from review import schemas
from review.access import Signed, limited
from review.desk import Desk, desk_of
from review.photos import heat_layer
from review.problems import ProblemError, responses

# A tagging's own pictures never change; a photo may, behind the same address.
FOREVER = "private, max-age=31536000, immutable"
A_WHILE = "private, max-age=600"
LABEL = r"^[a-z0-9._-]{1,64}$"
HEAT_EDITION = "1"  # goes up with every change of heat_layer

router = APIRouter(
    prefix="/pictures",
    tags=["pictures"],
    dependencies=[Depends(limited(lambda desk: desk.picture_limit))],
    responses=responses(404),
)
ItemPath = Annotated[int, Path(ge=1, le=schemas.ID_MAX)]
IfNoneMatch = Annotated[str | None, Header(max_length=1000)]
IMAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}, "image/png": {}}, "description": "The picture"},
    304: {"description": "Not Modified"},
}


@router.get("/{item}/thumbnail", response_class=Response, responses={**IMAGE})
def thumbnail(
    request: Request, person: Signed, item: ItemPath, if_none_match: IfNoneMatch = None
) -> Response:
    """The stored Grad-CAM overlay of the machine's label."""
    with desk_of(request).read() as session:
        found = session.get(Thumbnail, item)
        jpeg = found.overlay_jpeg if found else b""
    if not jpeg:
        raise ProblemError(404, f"There is no thumbnail of item {item}.")
    return picture(jpeg, "image/jpeg", FOREVER, if_none_match)


@router.get(
    "/{item}/photo", response_class=Response, responses={**IMAGE, **responses(404, 409, 502)}
)
async def photo(
    request: Request,
    person: Signed,
    item: ItemPath,
    changed: Literal["shown"] | None = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The photo that was tagged, decoded within bounds and made small enough for a page.

    Where its address gives another file by now, that is said (409), and shown only with
    `changed=shown`.
    """
    desk = desk_of(request)
    return await desk.picture_pool.run(_photo, desk, item, changed is not None, if_none_match)


@router.get(
    "/{item}/heat/{label}", response_class=Response, responses={**IMAGE, **responses(404, 409, 502)}
)
async def heat(
    request: Request,
    person: Signed,
    item: ItemPath,
    label: Annotated[str, Path(pattern=LABEL)],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Where the network saw this category, by its id, as a layer for the photo."""
    desk = desk_of(request)
    return await desk.picture_pool.run(_heat, desk, item, label, if_none_match)


def _photo(desk: Desk, item: int, even_changed: bool, if_none_match: str | None) -> Response:
    with desk.read() as session:
        uri, sha256 = _image(session, item)
    if even_changed:
        found = desk.photos.get(f"{item} {uri} now", uri)
    else:
        found = desk.photos.get(f"{item} {uri}", uri, sha256)
    return _picture(found.data, found.media_type, _digest(found.data), A_WHILE, if_none_match)


def _heat(desk: Desk, item: int, label: str, if_none_match: str | None) -> Response:
    with desk.read() as session:
        class_map, network = _class_map(session, item, label)
        uri, sha256 = _image(session, item)
    found = desk.photos.get(f"{item} {uri}", uri, sha256)
    tag = _digest(HEAT_EDITION.encode() + class_map.tobytes() + found.data)
    if _has(tag, if_none_match):
        return _unchanged(tag, A_WHILE)
    layer = heat_layer(found, grad_cam(class_map), network)
    return _picture(layer, "image/png", tag, A_WHILE, None)


def _image(session: Session, item: int) -> tuple[str, str]:
    """Where the photo is, and the SHA-256 of the file that was tagged."""
    tagging = session.get(Tagging, item)
    if tagging is None:
        raise ProblemError(404, f"There is no item {item}.")
    return session.get_one(Product, tagging.product_id).image_uri, tagging.image_sha256


def _class_map(session: Session, item: int, label: str) -> tuple[NDArray[np.float16], NetworkName]:
    tagging, stored = session.get(Tagging, item), session.get(Thumbnail, item)
    if tagging is None or stored is None:
        raise ProblemError(404, f"There are no class maps of item {item}.")
    labels = session.get_one(Model, tagging.model_version).labels
    maps = np.frombuffer(stored.class_map, np.float16)
    shape = (stored.class_map_height, stored.class_map_width, len(labels))
    moved = moves_of_models(session, [tagging.model_version])[tagging.model_version]
    # Several where a change of the taxonomy merged them: what was seen of any.
    called = [
        index for index, each in enumerate(labels) if (now_called(moved, each) or each) == label
    ]
    if not called or maps.size != np.prod(shape):
        raise ProblemError(404, f"The model of item {item} has no map of {label}.")
    return maps.reshape(shape)[:, :, called].max(axis=2), NetworkName(tagging.network)


def picture(data: bytes, media_type: str, caching: str, if_none_match: str | None) -> Response:
    """A picture with its tag; nothing of it where the asker has it."""
    return _picture(data, media_type, _digest(data), caching, if_none_match)


def _picture(
    data: bytes, media_type: str, tag: str, caching: str, if_none_match: str | None
) -> Response:
    if _has(tag, if_none_match):
        return _unchanged(tag, caching)
    return Response(data, 200, {"ETag": tag, "Cache-Control": caching}, media_type)


def _unchanged(tag: str, caching: str) -> Response:
    return Response(status_code=304, headers={"ETag": tag, "Cache-Control": caching})


def _has(tag: str, if_none_match: str | None) -> bool:
    """Whether the browser has this very picture (RFC 9110, 13.1.2: weak comparison)."""
    tags = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return tag in tags or tags == ["*"]


def _digest(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'
