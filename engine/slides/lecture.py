"""The ready deck: weight decay in ten figures, in the order in which it is told."""

from __future__ import annotations

TITLE = "Weight decay in ten figures"
LECTURE: tuple[str, ...] = (
    "/?v=1&figure=table",
    "/one_step?v=1&figure=pulls&title=L2+under+SGD+is+a+shrink+factor%3A+every+pull+is+%E2%88%92%CE%B7%CE%BBw",
    "/one_step?v=1&figure=race&of=sgdw&title=A+weight+grows+only+if+the+data+outrun+the+pull",
    "/prior?v=1&dataset=blobs&points=20&weight_decay=0.05&figure=weights"
    "&title=With+a+Gaussian+prior%2C+L2+is+the+MAP+estimate",
    "/coupling?v=1&figure=apart&title=Under+Adam%2C+L2+is+no+longer+decay",
    "/coupling?v=1&figure=rates&part=Adam&title=Through+Adam%2C+large+gradients+are+decayed+least",
    "/norms?v=1&figure=norms&title=Decay+holds+the+weights+down",
    "/?v=1&figure=over_lambda&title=Too+little+overfits%2C+too+much+underfits",
    "/what_to_decay?v=1&figure=gains&title=Decay+shrinks+LayerNorm%27s+gains+too%2C+unless+they+are+left+out",
    "/two_decays?v=1&schedule=cosine&figure=alone&title=Learning-rate+decay+also+shrinks+the+decay",
)
"""Permalinks, each with its own title."""
