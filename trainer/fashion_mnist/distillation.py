"""Learn from a teacher as well as from the labels (Hinton et al. 2015, arXiv 1503.02531)."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


class Student(keras.Model):  # type: ignore[misc]
    """Trains `network` on labels and on the mean word of `teachers` about the same pictures.

    The teachers see each augmented image as the student does ("consistent teaching", Beyer et
    al. 2021, arXiv 2106.05237), so they cost a forward pass a batch and no stored predictions.
    """

    def __init__(
        self,
        network: keras.Model,
        teachers: tuple[keras.Model, ...],
        *,
        share: float,
        temperature: float,
    ) -> None:
        super().__init__(name="student")
        self.network = network
        # In a closure, out of Keras's sight: a teacher is neither trained nor saved with it.
        self._listen: Callable[[Any], list[Any]] = lambda x: [
            teacher(x, training=False) for teacher in teachers
        ]
        self._share = share
        self._temperature = temperature

    def build(self, input_shape: Any) -> None:
        # The network was built when it was made.
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The labels' loss; in training `share` of it is replaced by the teachers'."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        return (1 - self._share) * loss + self._share * self._teachers_loss(
            x, y_pred, sample_weight
        )

    def _teachers_loss(self, x: Any, logits: Any, weights: Any) -> Any:
        heat = self._temperature
        words = [ops.softmax(word / heat) for word in self._listen(x)]
        target = ops.stop_gradient(sum(words) / len(words))
        loss = -ops.sum(target * ops.log_softmax(logits / heat), axis=-1)
        if weights is not None:
            loss = loss * ops.cast(weights, loss.dtype)
        # Gradients shrink with the square of the temperature: scaled back.
        return heat**2 * ops.mean(loss)
