"""What ImageNet's own head knows of clothes: words for categories, where names fit.

Class numbers of ILSVRC-2012. A category may be known by several, or by none. `STRANGERS` are things
that a fashion shop also sells, or that lie beside its garments.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# By the folded id of a category: see `folded`.
CATEGORIES: Mapping[str, tuple[int, ...]] = {
    "tshirttop": (610,),  # jersey, tee shirt
    "tshirt": (610,),
    "trouser": (608,),  # jean
    "pants": (608,),
    "pullover": (841, 474, 911),  # sweatshirt, cardigan, wool
    "longsleeve": (841,),
    "hoodie": (841,),
    "dress": (578, 689, 601),  # gown, overskirt, hoopskirt
    "coat": (869, 568, 735, 834),  # trench coat, fur coat, poncho, suit
    "outwear": (869, 568, 735),
    "blazer": (834,),
    "sandal": (774, 502),  # sandal, clog
    "sneaker": (770,),  # running shoe
    "shoes": (770, 630, 774, 514),
    "ankleboot": (514,),  # cowboy boot
    "bag": (748, 636, 414, 790, 728),  # purse, mailbag, backpack, basket, plastic bag
    "hat": (515, 808, 452),  # cowboy hat, sombrero, bonnet
    "skirt": (655, 689),  # miniskirt, overskirt
    "shorts": (842,),  # swimming trunks
}
STRANGERS: tuple[int, ...] = (
    836, 837,  # sunglasses
    531, 826,  # watches
    711, 631, 629, 838, 585,  # perfume, lotion, lipstick, sunscreen, hair spray
    679, 488,  # necklace, chain
    906, 457, 451,  # ties
    515, 808, 452, 433, 793, 518,  # hats, caps and helmets
    806, 496,  # socks
    655, 775,  # miniskirt, sarong
    893, 464,  # wallet, buckle
    459, 445, 638, 842,  # underwear and swimwear
    824, 552, 658,  # stole, boa, mitten
    630,  # loafer
    643, 903, 411, 529, 443,  # mask, wig, apron, nappy, bib
    879, 591, 434, 750, 584,  # umbrella, handkerchief, towel, quilt, hair slide
)  # fmt: skip


def folded(name: str) -> str:
    """A category's id or name without case, blanks and signs."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def words_of(labels: Sequence[str]) -> list[tuple[int, ...]]:
    """ImageNet's classes for each of the labels, and for the strangers after them."""
    known = [CATEGORIES.get(folded(label), ()) for label in labels]
    taken = {number for numbers in known for number in numbers}
    return [*known, tuple(number for number in STRANGERS if number not in taken)]


def word_kernels(
    labels: Sequence[str], kernel: NDArray[np.floating]
) -> list[NDArray[np.float32] | None]:
    """The columns of ImageNet's own head for `words_of`, float32 (F, words); None: no word."""
    return [
        np.asarray(kernel[:, list(numbers)], np.float32) if numbers else None
        for numbers in words_of(labels)
    ]
