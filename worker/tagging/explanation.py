"""A picture of why the model said what it said."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from catalog.images.cutout import cut_out
from catalog.images.decode import decode
from catalog.images.model_input import Glance, glance, model_input
from catalog.images.network_input import InputKind, NetworkInput, network_input
from catalog.images.overlay import crop, grad_cam, overlay
from catalog.images.preprocessing import DECODE_PX
from catalog.networks import NetworkName
from worker.tagging.classifier import Classifier
from worker.tagging.lineup import Lineup, predict

PANEL_PX = 256
GAP_PX = 16
CAPTION_PX = 26
BAR_ROW_PX = 22
LABEL_PX = 110
CLASSES_SHOWN = 3
SEEN_BY = {
    NetworkName.REDUCED: "model input, 28 by 28",
    NetworkName.PHOTO: "what the photo network saw",
}
LEFT_OUT = np.array((214, 51, 132), np.uint8)
PAPER, INK, BAR = "white", "black", "#3b6ea5"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The stages of one photo, each uint8 (256, 256, 3) RGB, and all calibrated confidences.

    network: which of the bundle's spoke; seen: what it saw. stages: what happens between photo and
    model input, in order, by caption. poor: why a person should look at the photo whatever the
    network says, or None.
    """

    photo: NDArray[np.uint8]
    stages: Sequence[tuple[str, NDArray[np.uint8]]]
    network: NetworkName
    seen: NDArray[np.uint8]
    poor: str | None
    overlays: Sequence[tuple[str, NDArray[np.uint8]]]
    confidences: Sequence[tuple[str, float]]


def explain(data: bytes, classifier: Classifier) -> Explanation:
    """Classify one picture file's bytes and lay out what led to the three best classes.

    Raises:
        ImageFailure: the bytes are no picture that can be read.
    """
    photo = decode(data, size_px_min=DECODE_PX).pixels
    glanced = glance(photo)
    judge = Lineup(serving=classifier).judge_of("", kind=glanced.kind)
    inputs = {kind: network_input(photo, kind, glanced) for kind in judge.kinds}
    (prediction,) = predict([judge], [inputs])
    mine = inputs[judge.kind]
    assert prediction is not None
    labels, confidences = prediction.labels, prediction.confidences
    order = np.argsort(-confidences, kind="stable")
    view = crop(photo, mine.square, PANEL_PX)
    overlays = [
        (labels[place], overlay(view, grad_cam(prediction.class_map[:, :, place])))
        for place in order[:CLASSES_SHOWN]
    ]
    return Explanation(
        photo=_fitted(photo),
        stages=_stages(photo, inputs, glanced),
        network=judge.rule.network,
        seen=_enlarged(mine.pixels),
        poor=mine.poor,
        overlays=overlays,
        confidences=[(labels[place], float(confidences[place])) for place in order],
    )


def draw(explanation: Explanation, *, stages: bool = False) -> bytes:
    """PNG bytes: photo, model input and overlays side by side, confidences as bars below.

    stages: with every step from the photo to the model input in between.
    """
    panels = [
        ("photo", explanation.photo),
        *(explanation.stages if stages else ()),
        (SEEN_BY[explanation.network], explanation.seen),
        *((f"Grad-CAM: {label}", picture) for label, picture in explanation.overlays),
    ]
    step = PANEL_PX + GAP_PX
    width = len(panels) * step + GAP_PX
    top = 2 * GAP_PX + PANEL_PX + CAPTION_PX
    sheet = Image.new(
        "RGB", (width, top + len(explanation.confidences) * BAR_ROW_PX + GAP_PX), PAPER
    )
    drawing = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for place, (caption, picture) in enumerate(panels):
        left = GAP_PX + place * step
        sheet.paste(Image.fromarray(picture), (left, GAP_PX))
        drawing.text((left, GAP_PX + PANEL_PX + 4), caption, INK, font)
    length = width - 2 * GAP_PX - LABEL_PX - 70
    for row, (label, confidence) in enumerate(explanation.confidences):
        y = top + row * BAR_ROW_PX
        drawing.text((GAP_PX, y), label, INK, font)
        left = GAP_PX + LABEL_PX
        drawing.rectangle((left, y + 2, left + round(length * confidence), y + 15), BAR)
        right = left + round(length * confidence) + 8
        drawing.text((right, y), f"{100 * confidence:.1f} %", INK, font)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def _fitted(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    panel = Image.new("RGB", (PANEL_PX, PANEL_PX), "#eeeeee")
    picture = Image.fromarray(photo)
    picture.thumbnail((PANEL_PX, PANEL_PX))
    if max(picture.size) < PANEL_PX:
        scale = PANEL_PX / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.NEAREST)
    panel.paste(picture, ((PANEL_PX - picture.width) // 2, (PANEL_PX - picture.height) // 2))
    return np.asarray(panel)


def _stages(
    photo: NDArray[np.uint8], inputs: Mapping[InputKind, NetworkInput], glanced: Glance
) -> list[tuple[str, NDArray[np.uint8]]]:
    """What was left of a photo at each step on its way to the 28×28 network, if that has a word.

    Of a picture that came reduced there are none.
    """
    squares = [each.square for kind, each in inputs.items() if kind.network is NetworkName.REDUCED]
    if not squares:
        return []
    reduced = model_input(photo, glanced)
    if reduced.working is None or reduced.mask is None:
        return []
    found = cut_out(reduced.working, glanced.background)
    how = "colour" if found.plain else "GrabCut"
    return [
        ("made small", _fitted(reduced.working)),
        (f"background, by {how}", _fitted(_marked(reduced.working, found.mask))),
        ("wearer and others", _fitted(_marked(reduced.working, reduced.mask))),
        ("trimmed", crop(photo, squares[0], PANEL_PX)),
    ]


def _marked(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A picture, uint8 (H, W, 3), with all but the mask in magenta."""
    return np.where(mask[:, :, None], picture, LEFT_OUT)


def _enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A network's input, uint8 (h, w, 1 or 3), with its pixels to be seen."""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    panel = picture.resize((PANEL_PX, PANEL_PX), Image.Resampling.NEAREST)
    return np.asarray(panel.convert("RGB"))
