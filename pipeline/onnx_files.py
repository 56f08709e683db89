"""A fitted model as an ONNX file, which other programs can run, and which needs no scikit-learn to predict.

The graph takes what `models.inputs_of` gives, each column by its name as a tensor of shape (rows, 1): numbers and dates
as doubles, NaN where missing, categories as strings. It gives `prediction`, shape (rows,): the probability of the
positive class, or the value (with an underscore more if a column is called so). All sums are in doubles, because floats
would put some rows on the other side of a threshold.

skl2onnx isn't used: of version 1.20 no model of ours comes out whole in doubles. Its scaled models need an imputer that
onnxruntime has for floats only, its trees fail with the protobuf that sources on Google need, and it knows no encoder
with rare categories. The operators are few, and a file is served only if it predicts what the model does (`serving`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.config import Feature
from pipeline.mixes import Mix

# versions that onnxruntime knows since 1.20: in "ai.onnx.ml" 5 trees are of doubles from input to output
OPSETS = {"": 18, "ai.onnx.ml": 5}
IR = 10
LEQ = 0  # how `TreeEnsemble` calls x <= threshold
SUM = 1  # and adding trees up
EDGE = 1e-6  # as `recipes.logit` has it


class NotConvertible(Exception):
    """This model has a part that no graph is known for."""


def converted(model: Any, features: Mapping[str, Feature], task: str) -> bytes:
    """Give a fitted model as the content of an ONNX file. Raise NotConvertible if it has a part that isn't known."""
    import onnx
    from onnx import TensorProto, helper

    graph, output = Graph(_free("/", features)), _free("prediction", features)
    found = graph.add("Squeeze", _model(graph, model, task), graph.constant(np.array([1])))
    graph.nodes.append(helper.make_node("Identity", [found], [output]))
    seen = [
        helper.make_tensor_value_info(
            name, TensorProto.STRING if kind.type == "category" else TensorProto.DOUBLE, [None, 1]
        )
        for name, kind in features.items()
    ]
    told = [helper.make_tensor_value_info(output, TensorProto.DOUBLE, [None])]
    whole = helper.make_model(
        helper.make_graph(graph.nodes, "model", seen, told, graph.constants),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in OPSETS.items()],
        producer_name="Dynamic Risk Assessment",
        ir_version=IR,
    )
    onnx.checker.check_model(whole)
    return whole.SerializeToString()


def _free(name: str, taken: Iterable[str]) -> str:
    """Give a name that no other begins with."""
    taken = list(taken)
    while any(one.startswith(name) for one in taken):
        name += "_"
    return name


@dataclass
class Graph:
    """The operators and constants so far; the names of values begin as no column's does."""

    prefix: str
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, domain: str = "", **settings: Any) -> str:
        """Add an operator and give the name of what comes out."""
        from onnx import helper

        name = f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **settings))
        return name

    def constant(self, value: Any) -> str:
        """Add a constant, numbers as doubles unless they are whole ones in an array, and give its name."""
        from onnx import numpy_helper

        value = np.asarray(value)
        name = f"{self.prefix}constant{len(self.constants)}"
        kept = value.astype("int64" if value.dtype.kind in "iu" else "float64")
        self.constants.append(numpy_helper.from_array(kept, name))
        return name

    def cast(self, value: str, to: str) -> str:
        """Give a value in another type: `double` or `float`."""
        from onnx import TensorProto

        return self.add("Cast", value, to={"double": TensorProto.DOUBLE, "float": TensorProto.FLOAT}[to])


def _model(graph: Graph, model: Any, task: str) -> str:
    """Add a pipeline, or a mix of them, as `recipes.Recipe.predict` has it; give its prediction, (rows, 1)."""
    if not isinstance(model, Mix):
        return _pipeline(graph, model, task)
    each = [
        graph.add("Mul", _pipeline(graph, one, task), graph.constant(weight))
        for one, weight in zip(model.models, model.weights, strict=True)
    ]
    mean = graph.add("Sum", *each)
    if task == "regression":
        return graph.add("Add", mean, graph.constant(model.shift))
    if (model.slope, model.shift) == (1, 0):
        return mean
    sure = graph.add("Min", graph.add("Max", mean, graph.constant(EDGE)), graph.constant(1 - EDGE))
    odds = graph.add("Log", graph.add("Div", sure, graph.add("Sub", graph.constant(1.0), sure)))
    stretched = graph.add("Mul", odds, graph.constant(model.slope))
    return _expit(graph, graph.add("Add", stretched, graph.constant(model.shift)))


def _expit(graph: Graph, odds: str) -> str:
    one = graph.constant(1.0)
    return graph.add("Div", one, graph.add("Add", one, graph.add("Exp", graph.add("Neg", odds))))


def _pipeline(graph: Graph, pipeline: Any, task: str) -> str:
    """Add the two steps of a pipeline as `models.build` makes it."""
    (_, prepare), (_, estimator) = getattr(pipeline, "steps", [(None, None), (None, pipeline)])
    if prepare is None:
        raise NotConvertible(f"no graph is known for {type(estimator).__name__}")
    if task == "classification" and list(estimator.classes_) != [0, 1]:
        raise NotConvertible(f"its classes are {list(estimator.classes_)}, not 0 and 1")
    return _known(ESTIMATORS, estimator)(graph, estimator, _table(graph, prepare))


def _known(among: Mapping[str, Callable], part: Any) -> Callable:
    name = type(part).__name__
    if name not in among:
        raise NotConvertible(f"no graph is known for {name}")
    return among[name]


# ---------------------------------------------------------------------------------------------- the table
def _table(graph: Graph, prepare: Any) -> str:
    """Add what becomes of the columns before a model sees them; give the table, (rows, columns)."""
    blocks = []
    for _, step, columns in prepare.transformers_:
        if len(columns) and step != "drop":
            if hasattr(step, "categories_"):
                blocks += _known(ENCODERS, step)(graph, step, list(columns))
            else:
                numbers = graph.add("Concat", *columns, axis=1)
                for _, one in getattr(step, "steps", [("", step)]):
                    numbers = _known(NUMBERS, one)(graph, one, numbers)
                blocks.append(numbers)
    return graph.add("Concat", *blocks, axis=1)


def _as_they_are(graph: Graph, step: Any, numbers: str) -> str:
    if getattr(step, "func", None) is not None:
        raise NotConvertible(f"no graph is known for the function {step.func.__name__}")
    return numbers


def _imputed(graph: Graph, step: Any, numbers: str) -> str:
    """Add what stands for missing numbers."""
    fill = graph.constant(np.atleast_2d(step.statistics_))
    return graph.add("Where", graph.add("IsNaN", numbers), fill, numbers)


def _scaled(graph: Graph, step: Any, numbers: str) -> str:
    moved = graph.add("Sub", numbers, graph.constant(np.atleast_2d(step.mean_)))
    return graph.add("Div", moved, graph.constant(np.atleast_2d(step.scale_)))


def _ordered(graph: Graph, step: Any, columns: list[str]) -> list[str]:
    """Add an `OrdinalEncoder`: a column with a code for each category, of which rare ones may share one."""
    most = max(map(len, step.categories_))
    cells = {
        name: [*known, *[known[0]] * (most - len(known))]
        for name, known in zip(columns, step.categories_, strict=True)
    }
    codes = step.transform(_frame(cells))
    return [
        graph.cast(_coded(graph, name, known, codes[: len(known), at], step.unknown_value), "double")
        for at, (name, known) in enumerate(zip(columns, step.categories_, strict=True))
    ]


def _one_column_each(graph: Graph, step: Any, columns: list[str]) -> list[str]:
    """Add a `OneHotEncoder`: a column for each category; rare and unknown ones share the last, if any are rare."""
    if step.drop is not None or step.handle_unknown != "infrequent_if_exist":
        raise NotConvertible("no graph is known for these settings of OneHotEncoder")
    blocks = []
    for name, known, rare in zip(columns, step.categories_, step.infrequent_categories_, strict=True):
        rare = set() if rare is None else set(rare)
        own = {category: code for code, category in enumerate(one for one in known if one not in rare)}
        shared = len(own) if rare else -1
        code = _coded(graph, name, known, [own.get(category, shared) for category in known], shared)
        there = graph.add("Equal", code, graph.constant(np.arange(len(own) + bool(rare))[None, :]))
        blocks.append(graph.cast(there, "double"))
    return blocks


def _coded(graph: Graph, name: str, known: Sequence[str], codes: Any, unknown: int) -> str:
    """Add the lookup of a column's categories; give their codes, (rows, 1)."""
    return graph.add(
        "LabelEncoder",
        name,
        domain="ai.onnx.ml",
        keys_strings=list(known),
        values_int64s=[int(code) for code in codes],
        default_int64=int(unknown),
    )


def _frame(cells: dict[str, list[str]]):
    import pandas as pd

    return pd.DataFrame(cells, dtype=object)


# ---------------------------------------------------------------------------------------------- estimators
def _linear(graph: Graph, estimator: Any, table: str) -> str:
    weights = graph.constant(np.reshape(estimator.coef_, (-1, 1)))
    return graph.add(
        "Add", graph.add("MatMul", table, weights), graph.constant(_number(estimator.intercept_))
    )


def _logistic(graph: Graph, estimator: Any, table: str) -> str:
    return _expit(graph, _linear(graph, estimator, table))


def _boosted(graph: Graph, estimator: Any, table: str) -> str:
    """Add boosted trees. Their attributes are scikit-learn's own, which is why agreement is looked at afterwards."""
    if getattr(estimator, "loss", "") not in ("log_loss", "squared_error"):
        raise NotConvertible(f"no graph is known for the loss {estimator.loss}")
    if estimator.is_categorical_ is not None:
        raise NotConvertible("no graph is known for categories inside of boosted trees")
    trees = [_boosted_tree(one.nodes) for (one,) in estimator._predictors]
    raw = graph.add(
        "Add", _trees(graph, table, trees), graph.constant(_number(estimator._baseline_prediction))
    )
    return _expit(graph, raw) if hasattr(estimator, "classes_") else raw


def _forest(graph: Graph, estimator: Any, table: str) -> str:
    """Add a forest, the mean of its trees; they compare 32-bit numbers."""
    seen = graph.cast(graph.cast(table, "float"), "double")
    positive = int(hasattr(estimator, "classes_"))  # values of a classifier: the share of each class
    trees = [_forest_tree(one.tree_, positive) for one in estimator.estimators_]
    return graph.add("Div", _trees(graph, seen, trees), graph.constant(float(len(trees))))


def _number(value: Any) -> float:
    return float(np.ravel(value)[0])


@dataclass(frozen=True)
class Tree:
    """A tree by its nodes, the root first: (nodes,) each. Where it is `left` and `right` mean nothing."""

    leaf: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray  # goes left if it's no more than that
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray


def _boosted_tree(nodes: np.ndarray) -> Tree:
    return Tree(
        leaf=nodes["is_leaf"].astype(bool),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        left=nodes["left"].astype(int),
        right=nodes["right"].astype(int),
        missing_left=nodes["missing_go_to_left"],
        value=nodes["value"],
    )


def _forest_tree(tree: Any, positive: int) -> Tree:
    return Tree(
        leaf=tree.children_left < 0,
        feature=tree.feature,
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        missing_left=np.zeros(tree.node_count, int),  # numbers are imputed before
        value=tree.value[:, 0, positive],
    )


def _trees(graph: Graph, table: str, trees: Sequence[Tree]) -> str:
    """Add the sum of trees, (rows, 1): splits are numbered through all trees, and so are leaves."""
    from onnx import numpy_helper

    parts: dict[str, list[np.ndarray]] = {name: [] for name in SPLIT}
    weights, roots, splits, leaves = [], [], 0, 0
    for tree in map(_with_a_split, trees):
        place = np.where(tree.leaf, leaves + np.cumsum(tree.leaf) - 1, splits + np.cumsum(~tree.leaf) - 1)
        inner = ~tree.leaf
        left, right = tree.left[inner], tree.right[inner]
        found = (
            tree.feature[inner], tree.missing_left[inner], place[left], tree.leaf[left], place[right], tree.leaf[right],
        )  # fmt: skip
        for name, values in zip(SPLIT[:-1], found, strict=True):
            parts[name].append(values)
        parts["nodes_splits"].append(tree.threshold[inner])
        weights.append(tree.value[tree.leaf])
        roots.append(splits)
        splits, leaves = splits + int(inner.sum()), leaves + int(tree.leaf.sum())
    whole = {name: np.concatenate(values) for name, values in parts.items()}
    return graph.add(
        "TreeEnsemble",
        table,
        domain="ai.onnx.ml",
        aggregate_function=SUM,
        n_targets=1,
        tree_roots=roots,
        leaf_targetids=[0] * leaves,
        leaf_weights=numpy_helper.from_array(np.concatenate(weights).astype("float64")),
        nodes_modes=numpy_helper.from_array(np.full(splits, LEQ, "uint8")),
        nodes_splits=numpy_helper.from_array(whole.pop("nodes_splits").astype("float64")),
        **{name: values.astype(int).tolist() for name, values in whole.items()},
    )


SPLIT = (
    "nodes_featureids", "nodes_missing_value_tracks_true", "nodes_truenodeids", "nodes_trueleafs",
    "nodes_falsenodeids", "nodes_falseleafs", "nodes_splits",
)  # fmt: skip


def _with_a_split(tree: Tree) -> Tree:
    """Give a tree that is one leaf a split with that leaf on both sides; an ensemble has no trees without."""
    if not tree.leaf[0]:
        return tree
    zeros, ones = np.zeros(2), np.ones(2, int)
    return Tree(np.array([False, True]), zeros, zeros, ones, ones, zeros, np.array([0.0, tree.value[0]]))


NUMBERS: dict[str, Callable[[Graph, Any, str], str]] = {
    "str": _as_they_are,
    "FunctionTransformer": _as_they_are,
    "SimpleImputer": _imputed,
    "StandardScaler": _scaled,
}
ENCODERS: dict[str, Callable[[Graph, Any, list[str]], list[str]]] = {
    "OrdinalEncoder": _ordered,
    "OneHotEncoder": _one_column_each,
}
ESTIMATORS: dict[str, Callable[[Graph, Any, str], str]] = {
    "LogisticRegression": _logistic,
    "HistGradientBoostingClassifier": _boosted,
    "HistGradientBoostingRegressor": _boosted,
    "RandomForestClassifier": _forest,
    "RandomForestRegressor": _forest,
    "LinearRegression": _linear,
    "Ridge": _linear,
}
