"""Logits of checkpoints that others made, against what other code computed from them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from webtext.model.gpt2 import GPT2, GPT2Config, from_hf_state, parameter_count, to_hf_state

WEIGHTS = Path(__file__).parents[3] / "shared/data/weights"
FOLDERS = ["hf_tiny_gpt2_lmbuddy", "hf_gpt2_811k_dc0a59b"]


def folder_of(name):
    folder = WEIGHTS / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder


def loaded(config, state):
    model = GPT2(config).eval()
    model.load_state_dict(state)
    return model


def hugging_face(name):
    """A published checkpoint: its folder and the same weights in our model."""
    folder = folder_of(name)
    hf = json.loads((folder / "config.json").read_text())
    config = GPT2Config(hf["n_layer"], hf["n_head"], hf["n_embd"], hf["n_positions"], hf["vocab_size"])
    return folder, loaded(config, from_hf_state(load_file(folder / "model.safetensors")))


@pytest.mark.parametrize("name", FOLDERS)
def test_logits_equal_transformers(name):
    from transformers import GPT2LMHeadModel

    folder, model = hugging_face(name)
    ids = torch.randint(model.config.n_vocab, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = GPT2LMHeadModel.from_pretrained(folder).eval()(ids).logits
        torch.testing.assert_close(model(ids), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", FOLDERS)
def test_published_weights_survive_both_ways(name):
    folder, model = hugging_face(name)
    published = {
        key.removeprefix("transformer."): value for key, value in load_file(folder / "model.safetensors").items()
    }
    exported = to_hf_state(model.state_dict(), model.config.n_vocab)
    masks = (".attn.bias", ".attn.masked_bias")
    kept = {key for key in published if not key.endswith(masks) and key != "lm_head.weight"}
    assert {key.removeprefix("transformer.") for key in exported} == kept
    assert all(torch.equal(exported["transformer." + key], published[key]) for key in kept)


def test_figures_that_other_code_computed():
    _, model = hugging_face("hf_gpt2_811k_dc0a59b")
    expected = json.loads((WEIGHTS / "hf_gpt2_811k_expected.json").read_text())["dc0a59b"]
    assert parameter_count(model) == expected["params"]
    ids = list(expected["ids"])
    with torch.no_grad():
        logits = model(torch.tensor([ids]))[0]
        assert logits[-1, :8].tolist() == pytest.approx(expected["last_logits_first8"], abs=1e-5)
        assert logits.sum().item() == pytest.approx(expected["logits_sum"], abs=0.05)
        assert logits.mean().item() == pytest.approx(expected["logits_mean"], abs=1e-6)
        assert logits.std().item() == pytest.approx(expected["logits_std"], abs=1e-6)
        assert logits.argmax(dim=1).tolist() == expected["argmax_per_pos"]
        while len(ids) < len(expected["greedy12"]):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert ids == expected["greedy12"]


def openai_tensors():
    """The tensors of OpenAI's toy checkpoint: the data file holds them one after the other, in order of their names.

    So no reader of TensorFlow's index is needed; the checksum of each tensor says that this is so.
    """
    folder = folder_of("openai_tf_toy_checkpoint")
    data = (folder / "model.ckpt.data-00000-of-00001").read_bytes()
    tensors, start = {}, 0
    for name, about in sorted(json.loads((WEIGHTS / "openai_tf_toy_tensors.json").read_text()).items()):
        end = start + 4 * int(np.prod(about["shape"]))
        assert hashlib.sha1(data[start:end], usedforsecurity=False).hexdigest() == about["sha1"], name
        tensors[name] = torch.frombuffer(bytearray(data[start:end]), dtype=torch.float32).reshape(about["shape"])
        start = end
    assert start == len(data)
    return json.loads((folder / "hparams.json").read_text()), tensors


OPENAI_TO_HF = {"w": "weight", "b": "bias", "g": "weight"}


def as_hugging_face(name, tensor):
    """OpenAI's name and shape of a tensor as Hugging Face writes them: model/h0/attn/c_attn/w (1, C, 3C)."""
    parts = name.removeprefix("model/").split("/")
    if parts[0] in ("wte", "wpe"):
        return parts[0] + ".weight", tensor
    if parts[0] != "ln_f":
        parts[0] = f"h.{parts[0].removeprefix('h')}"
    return ".".join([*parts[:-1], OPENAI_TO_HF[parts[-1]]]), tensor.squeeze(0) if tensor.dim() == 3 else tensor


def test_logits_of_openais_format():
    hparams, tensors = openai_tensors()
    expected = json.loads((WEIGHTS / "openai_tf_toy_expected.json").read_text())
    config = GPT2Config(**{name: hparams[name] for name in ("n_layer", "n_head", "n_embd", "n_ctx", "n_vocab")})
    model = loaded(config, from_hf_state(dict(as_hugging_face(*item) for item in tensors.items())))
    ids = torch.tensor([expected["input"]])
    with torch.no_grad():
        logits = model(ids)
        loss = model.loss(ids[:, :-1], ids[:, 1:]) / (ids.numel() - 1)
    assert logits[0, -1, :8].tolist() == pytest.approx(expected["logits_last_first8"], abs=1e-4)
    assert logits.sum().item() == pytest.approx(expected["logits_sum"], abs=1e-2)
    assert logits.std().item() == pytest.approx(expected["std"], abs=1e-5)
    assert logits[0].argmax(dim=1).tolist() == expected["argmax"]
    assert loss.item() == pytest.approx(expected["nll"], abs=1e-4)
