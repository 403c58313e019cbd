"""Named experiments: each a permalink's query."""

from __future__ import annotations

PRESETS: dict[str, dict[str, str]] = {
    "L2 = decay (SGD)": {"variants": "sgd,sgd_l2,sgdw"},
    "L2 ≠ decay (Adam)": {"variants": "adam,adam_l2,adamw"},
    "Same λ, not the same decay": {"weight_decay_adaptive": "0.03"},
    "Momentum breaks the tie": {"variants": "sgd,sgd_l2,sgdw,momentum_l2,momentum_w", "lr": "0.1"},
    "All optimizers": {
        "variants": "sgd,sgd_l2,sgdw,momentum_l2,momentum_w,rmsprop_l2,rmsprop_w,adam,adam_l2,adamw",
        "lr": "0.2",
    },
    "Two decays": {"schedule": "cosine", "variants": "adam,adamw,adamw_paper"},
    "Other priors": {"variants": "sgd,sgd_l2,l2_sp,l1,max_norm"},
    "ηλ > 2 explodes": {"weight_decay": "5.0"},
    "Underfit: λ too large": {"weight_decay": "0.2"},
    "A line and a prior": {"hidden": "0", "dataset": "blobs", "points": "20", "weight_decay": "0.05"},
}
