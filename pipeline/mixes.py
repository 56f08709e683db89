"""What is served, as one model: a weighted mean of fitted models, recalibrated (`recipes.Recipe`).

A mix takes the same table as the models in it, and is saved, verified and explained as one of them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.recipes import Recipe

if TYPE_CHECKING:
    import pandas as pd


class Mix:
    """A fitted estimator made of others, with scikit-learn's `predict_proba` and `predict`."""

    def __init__(self, models: Sequence[Any], recipe: Recipe, task: str):
        self.models = list(models)
        self.weights = [float(weight) for weight in recipe.weights.values()]
        self.shift, self.slope = float(recipe.shift), float(recipe.slope)
        self.task = task

    def predict_proba(self, inputs: "pd.DataFrame") -> np.ndarray:
        """Give the probabilities of the negative and the positive class, shape (rows, 2)."""
        positive = self._blend([model.predict_proba(inputs)[:, 1] for model in self.models])
        return np.column_stack([1 - positive, positive])

    def predict(self, inputs: "pd.DataFrame") -> np.ndarray:
        """Give the values (regression), or the classes at a probability of 0.5, shape (rows,)."""
        if self.task == "classification":
            return (self.predict_proba(inputs)[:, 1] >= 0.5).astype(int)
        return self._blend([model.predict(inputs) for model in self.models])

    def _blend(self, predictions: list[np.ndarray]) -> np.ndarray:
        names = [str(place) for place in range(len(predictions))]
        recipe = Recipe(dict(zip(names, self.weights, strict=True)), self.shift, self.slope)
        return recipe.predict(dict(zip(names, predictions, strict=True)), self.task)


def made(recipe: Recipe, models: Mapping[str, Any], task: str) -> Any:
    """Give the models of a recipe, by id, as one; a single one that isn't moved stays what it is."""
    inside = [models[one] for one in recipe.weights]
    moved = (recipe.shift, recipe.slope) != (0, 1)
    return Mix(inside, recipe, task) if moved or len(inside) > 1 else inside[0]
