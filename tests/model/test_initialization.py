"""Encoders trained elsewhere: a transplanted block computes what it did at home, gray pictures get the same tokens."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.errors import WeightsError
from mvg.model.generalist import Generalist
from mvg.model.initialization import initialize
from mvg.model.merged import LinearStem, MergedForm
from mvg.model.weights import save_weights
from tests.model.small import SHAPES, network

WIDTH, DEPTH, HEADS, PATCH = 32, 3, 2, 8
MEAN, SPREAD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def public(width: int = WIDTH, depth: int = DEPTH, patch: int = PATCH) -> dict[str, Tensor]:
    """A state as facebookresearch/mae names it, with the parts that are not taken."""
    rng = torch.Generator().manual_seed(0)
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 17, width), "norm.weight": (width,), "norm.bias": (width,),
              "mask_token": (1, 1, 8), "patch_embed.proj.weight": (width, 3, patch, patch),
              "patch_embed.proj.bias": (width,), "decoder_blocks.0.attn.qkv.weight": (24, 8)}  # fmt: skip
    for at in range(depth):
        for name, out, into in (("attn.qkv", 3 * width, width), ("attn.proj", width, width),
                                ("mlp.fc1", 4 * width, width), ("mlp.fc2", width, 4 * width)):  # fmt: skip
            shapes |= {f"blocks.{at}.{name}.weight": (out, into), f"blocks.{at}.{name}.bias": (out,)}
        shapes |= {f"blocks.{at}.{norm}.{kind}": (width,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
    return {name: 0.2 * torch.randn(shape, generator=rng) for name, shape in shapes.items()}


def hugging_face(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as Hugging Face names them, queries, keys and values apart."""
    names = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
             "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}  # fmt: skip
    renamed = {"vit.embeddings.patch_embeddings.projection." + kind: state["patch_embed.proj." + kind]
               for kind in ("weight", "bias")}  # fmt: skip
    for name, tensor in state.items():
        if not name.startswith("blocks."):
            continue
        _, at, rest = name.split(".", 2)
        part, kind = rest.rsplit(".", 1)
        prefix = f"vit.encoder.layer.{at}."
        if part == "attn.qkv":
            for block, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[f"{prefix}attention.attention.{block}.{kind}"] = third
        else:
            renamed[f"{prefix}{names[part]}.{kind}"] = tensor
    return {name: tensor.contiguous() for name, tensor in renamed.items()} | {"decoder.mask_token": torch.zeros(1)}


def reference_block(state: dict[str, Tensor], at: int, x: Tensor) -> Tensor:
    """One block of MAE, written out from its tensors."""
    block = {name.removeprefix(f"blocks.{at}."): t for name, t in state.items() if name.startswith(f"blocks.{at}.")}

    def line(name: str, value: Tensor) -> Tensor:
        return F.linear(value, block[f"{name}.weight"], block[f"{name}.bias"])

    def norm(name: str) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), block[f"{name}.weight"], block[f"{name}.bias"], eps=1e-6)

    batch, tokens, width = x.shape
    q, k, v = line("attn.qkv", norm("norm1")).reshape(batch, tokens, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-1, -2) / (width // HEADS) ** 0.5).softmax(-1)
    x = x + line("attn.proj", (weights @ v).transpose(1, 2).reshape(batch, tokens, width))
    return x + line("mlp.fc2", F.gelu(line("mlp.fc1", norm("norm2"))))


def still(tokens: int) -> Tensor:
    """Rotations that turn nothing: public MAEs have none."""
    return torch.stack([torch.ones(tokens, WIDTH // HEADS), torch.zeros(tokens, WIDTH // HEADS)])


def pth(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"model": state}, folder / "mae_pretrain.pth")
    return folder / "mae_pretrain.pth"


def safetensors_folder(state: dict[str, Tensor], folder: Path) -> Path:
    (folder / "config.json").write_text("{}")
    save_file(hugging_face(state), folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("write", [pth, safetensors_folder])
def test_a_public_mae_computes_what_it_did_at_home(
    write: Callable[[dict[str, Tensor], Path], Path], tmp_path: Path
) -> None:
    state, model = public(), network("paper")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    taken = initialize(model, write(state, tmp_path))
    assert taken == 12 * DEPTH + 2
    assert isinstance(model.form, MergedForm)
    x = torch.randn(2, 5, WIDTH)
    for at, block in enumerate(model.form._blocks()):
        torch.testing.assert_close(block(x, still(5)), reference_block(state, at, x), atol=1e-4, rtol=1e-4)
    gray = torch.rand(2, 1, 16, 16)
    colors = (gray - MEAN[:, None, None]) / SPREAD[:, None, None]
    tokens = F.conv2d(colors, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH)
    assert isinstance(model.form.image_stem, LinearStem)
    ours, _ = model.form.image_stem(gray - 0.5)
    torch.testing.assert_close(ours, tokens.flatten(2).transpose(1, 2), atol=1e-4, rtol=1e-4)
    for name, tensor in model.state_dict().items():
        taken_over = name.startswith(("form.blocks.", "form.image_stem."))
        assert torch.equal(tensor, before[name]) != taken_over, name


def test_patches_of_another_size_say_about_the_same_of_smooth_pictures() -> None:
    from mvg.model.initialization import _gray

    state = public(patch=16)
    ramp = torch.linspace(0, 1, 16)[:, None] * torch.linspace(0.2, 1, 16)
    state["patch_embed.proj.weight"] = ramp * torch.randn(WIDTH, 3, 1, 1)
    small = _gray(state, "patch_embed.proj", 8)
    large = _gray(state, "patch_embed.proj", 16)
    assert small["stem.embed.weight"].shape == (WIDTH, 64)
    flat = [F.linear(torch.full((1, side**2), 0.3), block["stem.embed.weight"], block["stem.embed.bias"])
            for side, block in ((8, small), (16, large))]  # fmt: skip
    torch.testing.assert_close(flat[0], flat[1], atol=0.02 * float(flat[1].abs().max()), rtol=0)


@pytest.mark.parametrize("kind", ["weights", "checkpoint"])
@pytest.mark.parametrize(("of", "into"), [("matching", "matching"), ("merged", "merged"), ("matching", "merged"),
                                         ("merged", "matching"), ("paper", "paper")])  # fmt: skip
def test_the_encoder_of_pretraining_is_taken_and_nothing_else(of: str, into: str, kind: str, tmp_path: Path) -> None:
    source, model = network(of, seed=1), network(into, seed=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if kind == "weights":
        path = save_weights(source, tmp_path / "weights", "# card").folder
    else:
        path = tmp_path / "checkpoint.pt"
        torch.save({"model": {}, "average": source.state_dict(), "optimizer": {}, "about": {}}, path)
    taken = initialize(model, path)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert len(changed) == taken >= 12 * DEPTH + 2  # blocks and positions, and what else fits
    merged = (
        "form.image_stem.",
        "form.image_mask",
        "form.positions.",
        "form.blocks.",
        "form.norms.",
        "form.stream_embedding",
    )
    parts = ("form.image_encoder.",) if into == "matching" else merged
    assert changed <= {name for name in before if name.startswith(parts)}
    if of == into:
        assert changed == {name for name in before if name.startswith(parts)}
        for name in changed:
            torch.testing.assert_close(model.state_dict()[name], source.state_dict()[name], atol=0, rtol=1e-2)


@pytest.mark.parametrize(("change", "match"), [
    ({"depth": 2}, "2 blocks; expected 3"), ({"width": 48}, r"\(48,\); expected one of \(32,\)"),
])  # fmt: skip
def test_another_depth_or_width_is_refused(change: dict[str, int], match: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=match):
        initialize(network("paper"), pth(public(**change), tmp_path))


def test_what_is_no_encoder_is_refused_and_the_model_stays(tmp_path: Path) -> None:
    model = network("paper")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (tmp_path / "broken.pth").write_bytes(b"no checkpoint")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    torch.save({"model": nn.Linear(2, 2).state_dict()}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, match in (("broken.pth", "cannot be read"), ("broken.safetensors", "cannot be read"),
                        ("missing.pth", "cannot be read"), ("other.pth", "no known image encoder"),
                        ("list.pth", "no known image encoder"), ("", "cannot be read")):  # fmt: skip
        with pytest.raises(WeightsError, match=match):
            initialize(model, tmp_path / name)
    incomplete = public()
    del incomplete["blocks.1.mlp.fc2.bias"]
    with pytest.raises(WeightsError, match=r"no blocks\.1\.mlp\.2\.bias"):
        initialize(model, pth(incomplete, tmp_path))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_stem_of_another_kind_keeps_its_own_weights(tmp_path: Path) -> None:
    config = SHAPES["merged"]
    assert initialize(Generalist(config), pth(public(), tmp_path)) == 12 * DEPTH
