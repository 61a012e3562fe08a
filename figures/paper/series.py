"""Figures 3, 7 to 9 and 10 to 13: those that differ in what they show and not in how it is drawn.

figure   compares                                                    λ should go to
3        STN and Δ-STN: weight decay, input dropout                  the dashed line of its own split, or without one
                                                                     as far down as it can: no penalty is best there
7        the same, weight decay alone                                as in figure 3
8        the same, the penalty not divided by the number of rows     figure 7's λ* less log n
9        from exp(λ) = 50: centring alone, then the new objective    as in figure 3
10-13    nothing: Δ-STN's schedules on five networks                 -

In figure 9 Δ-STN and "Reparam STN + New Obj.", that is Centered STN, take the same steps, since a model of one layer is
linear in its weights: Δ-STN is the broad line beneath.
"""

from collections.abc import Mapping

from figures.drawing.schedules import Panel, Schedules
from figures.drawing.trajectories import Comparison

DECAY = ("weight decay λ", "penalty exp(λ)")
DROPOUT = ("dropout λ = logit p", "drop rate p")

COMPARISONS: Mapping[str, Comparison] = {
    "fig03": Comparison(
        "Figure 3. Linear regression: weight decay (H.1, above) and input dropout (H.2, below).",
        rows={"ridge": DECAY, "dropout": DROPOUT},
        methods=("STN", "Δ-STN"),
    ),
    "fig07": Comparison(
        "Figure 7. Linear regression with weight decay (H.1).",
        rows={"ridge": DECAY},
        methods=("STN", "Δ-STN"),
    ),
    "fig08": Comparison(
        "Figure 8. Linear regression with weight decay, the penalty not divided by n.",
        rows={"ridge-undivided": DECAY},
        methods=("STN", "Δ-STN"),
    ),
    "fig09": Comparison(
        "Figure 9. Linear regression with weight decay (H.1) from exp(λ) = 50; on top the first 100 updates. "
        "Δ-STN lies under Reparam STN + New Obj. (Centered STN), with which it coincides: one layer is linear in its "
        "weights.",
        rows={"decoupling": DECAY},
        methods=("Δ-STN", "STN", "Reparam STN", "Centered STN"),
        first=100,
        looks={"Δ-STN": {"linewidth": 4.5, "alpha": 0.35}},
        names={"Centered STN": "Reparam STN + New Obj."},
    ),
}

SCHEDULES: Mapping[str, Schedules] = {
    "fig10": Schedules(
        "Figure 10. MLP and SimpleCNN (H.2).",
        make="python -m deep mnist-mlp and python -m deep fmnist-cnn",
        panels=(
            Panel("mnist-mlp", "rates", "(a) MNIST: drop rates"),
            Panel("fmnist-cnn", "rates", "(b) FashionMNIST: drop rates"),
            Panel("fmnist-cnn", "cutout", "(c) FashionMNIST: Cutout"),
        ),
    ),
    "fig11": Schedules(
        "Figure 11. VGG16 on CIFAR-10 (H.2.3).",
        make="python -m deep cifar-vgg16",
        panels=(
            Panel("cifar-vgg16", "rates", "(a) drop rates"),
            Panel("cifar-vgg16", "strengths", "(b) augmentation"),
            Panel("cifar-vgg16", "cutout", "(c) Cutout"),
        ),
    ),
    "fig12": Schedules(
        "Figure 12. ResNet18 on CIFAR-10 (H.2.3).",
        make="python -m deep cifar-resnet18",
        panels=(
            Panel("cifar-resnet18", "rates", "(a) drop rates"),
            Panel("cifar-resnet18", "strengths", "(b) augmentation"),
            Panel("cifar-resnet18", "cutout", "(c) Cutout"),
        ),
    ),
    "fig13": Schedules(
        "Figure 13. LSTM (H.3).",
        make="python -m deep ptb-lstm",
        panels=(
            Panel("ptb-lstm", "rates", "drop rates"),
            Panel("ptb-lstm", "strengths", "activation regularisation"),
        ),
    ),
}
