"""Reference arrays of KTH's rivals by PyTorch in float64: `cd tests && python -m references.make_kth_rivals` writes the .npz files.

PredNet and MCnet once more, written from their descriptions (channels first, one convolution for each letter) and without a line of the
package; a function puts their weights, or gradients, under our names into our merged and channels-last arrays.

    prednet   weight/NAME, frames (B,T,H,W,C), truth (B,T-1) in; outputs (B,T-1,H,W,C) out, with predictions fed back as they are, and the
              loss L_all, its gradient/NAME and gradient/frames; for a feedback one frame late, as_code/outputs and as_code/loss of L_0 and
              its as_code/gradient/frames
    mcnet     the same with outputs (B,T-given,H,W,C) and the loss L_p + L_gdl; then for the discriminator discriminator/weight/NAME,
              discriminator/loss and discriminator/gradient/NAME; deceiving/loss and deceiving/gradient/NAME of the whole loss of the model
"""

import numpy as np
import torch
import torch.nn.functional as F
from references.make_references import under
from references.make_rivals import conv_weights, draw, numbers


def conv(w, x, stride=1):
    """Same padding; with stride 2 by TensorFlow's rule, which pads less before than after."""
    k, margins = w["w"].shape[-1], []
    for n in (x.shape[3], x.shape[2]):  # F.pad counts from the last axis
        total = max((-(-n // stride) - 1) * stride + k - n, 0)
        margins += total // 2, total - total // 2
    return F.conv2d(F.pad(x, margins), w["w"], w["b"], stride=stride)


def leaves(w):
    """All tensors in nested dictionaries and lists."""
    if isinstance(w, torch.Tensor):
        return [w]
    return [t for part in (w.values() if isinstance(w, dict) else w) for t in leaves(part)]


def gradients_of(loss, w, *others):
    """(gradients in the form of w, those of the others)"""
    found = iter(torch.autograd.grad(loss, [*leaves(w), *others], retain_graph=True))

    def fill(w):
        if isinstance(w, torch.Tensor):
            return next(found)
        return {key: fill(v) for key, v in w.items()} if isinstance(w, dict) else [fill(v) for v in w]

    return fill(w), *found


def our_conv(prefix, *ws):
    """Several convolutions of the same inputs as one with all their features; kernels (kh,kw,C,K)."""
    return {prefix + "weight": torch.cat([v["w"] for v in ws]).permute(2, 3, 1, 0), prefix + "bias": torch.cat([v["b"] for v in ws])}


# PredNet

WIDTHS = 2, 1, 2, 4  # of the four layers


def prednet_weights(rng):
    layers = []
    for s, above in zip(WIDTHS, (*WIDTHS[1:], 0)):
        layer = {gate: conv_weights(rng, 3 * s + above, s, 3) for gate in "ifgo"} | {"hat": conv_weights(rng, s, s, 3)}
        layers.append(layer | ({"a": conv_weights(rng, 2 * s, above, 3)} if above else {}))
    return layers


def prednet_unroll(w, frames, truth, as_code):
    """frames (T,B,C,H,W) -> Ahat_0 of frames 1, 2, ... and the errors E_l of these frames"""
    sizes = [frames.shape[3:]]
    for _ in WIDTHS[1:]:
        sizes.append([-(-n // 2) for n in sizes[-1]])
    batch = frames.shape[1]
    r, c, e = ([torch.zeros(batch, k * s, *size, dtype=torch.float64) for s, size in zip(WIDTHS, sizes)] for k in (1, 1, 2))
    predicted, errors = [], []
    for t in range(len(frames)):
        for n in (3, 2, 1, 0):  # top-down
            inputs = [r[n], e[n]]
            if n < 3:
                inputs.append(F.interpolate(r[n + 1], scale_factor=2, mode="nearest")[:, :, :sizes[n][0], :sizes[n][1]])
            z = torch.cat(inputs, 1)
            i, f, o = (torch.clamp(0.2 * conv(w[n][gate], z) + 0.5, 0, 1) for gate in "ifo")
            c[n] = f * c[n] + i * torch.tanh(conv(w[n]["g"], z))
            r[n] = o * torch.tanh(c[n])
        hats = [torch.relu(conv(layer["hat"], r[n])) for n, layer in enumerate(w)]
        hats[0] = torch.clamp(hats[0], max=1)
        a = frames[t]
        if 0 < t < len(frames) - 1:
            mask = torch.tensor(truth[:, t, None, None, None], dtype=torch.float64)
            a = mask * a + (1 - mask) * (predicted[-1] if as_code else hats[0])
        for n, hat in enumerate(hats):  # bottom-up
            e[n] = torch.cat([torch.relu(hat - a), torch.relu(a - hat)], 1)
            if n < 3:
                a = F.max_pool2d(torch.relu(conv(w[n]["a"], e[n])), 2, ceil_mode=True)
        predicted.append(hats[0])
        errors.append(list(e))
    return predicted[1:], errors[1:]


def our_prednet(w):
    arrays = {}
    for n, layer in enumerate(w):
        arrays |= our_conv(f"layers.{n}.gates.", *(layer[gate] for gate in "ifgo")) | our_conv(f"layers.{n}.to_expected.", layer["hat"])
        arrays |= our_conv(f"layers.{n}.to_above.", layer["a"]) if "a" in layer else {}
    return arrays


def prednet(rng, size=(9, 12)):
    w, frames = prednet_weights(rng), torch.tensor(rng.random((2, 5, *size, WIDTHS[0]))).requires_grad_()
    truth, arrays = np.array([[1, 1, 0, 0], [1, 1, 1, 0]]), {}
    x = frames.permute(1, 0, 4, 2, 3)
    for as_code in False, True:
        predicted, errors = prednet_unroll(w, x, truth, as_code)
        # as the mean of E_0 of true frames, without the last frame's own E_0: predictions are compared with true frames here
        loss = torch.stack([abs(p - a).mean() for p, a in zip(predicted, x[1:])]).mean()
        if not as_code:
            loss = loss + 2 * 0.1 * torch.stack([e.mean() for step in errors for e in step[1:]]).sum() / len(errors)
        own, of_frames = gradients_of(loss, w, frames)
        found = {"outputs": torch.stack(predicted, 1).movedim(2, -1), "loss": loss, "gradient/frames": of_frames}
        arrays |= under("as_code/" * as_code, numbers(found))
        if not as_code:
            arrays |= under("gradient/", numbers(our_prednet(own)))
    return {"truth": truth, **arrays, **numbers({"frames": frames}), **under("weight/", numbers(our_prednet(w)))}


# MCnet

GIVEN = 3


def several(rng, kernel, *widths):
    return [conv_weights(rng, a, b, kernel) for a, b in zip(widths, widths[1:])]


def mcnet_weights(rng, w, colours):
    return {"motion": [several(rng, 5, 1, w), several(rng, 5, w, 2 * w), several(rng, 7, 2 * w, 4 * w)],
            "lstm": {gate: conv_weights(rng, 8 * w, 4 * w, 3) for gate in "ifgo"},
            "content": [several(rng, 3, colours, w, w), several(rng, 3, w, 2 * w, 2 * w), several(rng, 3, 2 * w, 4 * w, 4 * w, 4 * w)],
            "combine": several(rng, 3, 8 * w, 4 * w, 2 * w, 4 * w),
            "residual": [several(rng, 3, 2 * k, k, k) for k in (w, 2 * w, 4 * w)],
            "decode": [several(rng, 3, w, w, colours), several(rng, 3, 2 * w, 2 * w, w), several(rng, 3, 4 * w, 4 * w, 4 * w, 2 * w)]}


def relus(layers, x):
    for layer in layers:
        x = torch.relu(conv(layer, x))
    return x


def encode(stages, x):
    maps = []
    for stage in stages:
        maps.append(relus(stage, x))
        x = F.max_pool2d(maps[-1], 2, ceil_mode=True)
    return x, maps


def unpool(x, size):
    """Each number at the upper left of a 2x2 block of zeros."""
    y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    y[:, :, ::2, ::2] = x
    return y[:, :, :size[0], :size[1]]


def mcnet_unroll(w, x, truth):
    """Frames (T,B,C,H,W) on [0, 1] -> predictions of those after the given ones, on [-1, 1]; the authors' frames are 2 x - 1"""
    h = c = None
    frames, predicted = [2 * x[t] - 1 for t in range(GIVEN)], []

    def motion(new, old):
        nonlocal h, c
        code, maps = encode(w["motion"], ((new - old) / 2).mean(1, keepdim=True))
        if h is None:
            h = c = torch.zeros_like(code)
        z = torch.cat([code, h], 1)
        i, f, g, o = (conv(w["lstm"][gate], z) for gate in "ifgo")
        c = c * torch.sigmoid(f + 1) + torch.sigmoid(i) * torch.tanh(g)
        h = torch.tanh(c) * torch.sigmoid(o)
        return maps

    for old, new in zip(frames, frames[1:]):
        motion_maps = motion(new, old)
    last = frames[-1]
    for t in range(GIVEN, len(x)):
        code, content_maps = encode(w["content"], last)
        y = relus(w["combine"], torch.cat([h, code], 1))
        for n in (2, 1, 0):
            first, second = w["residual"][n]
            residual = conv(second, torch.relu(conv(first, torch.cat([motion_maps[n], content_maps[n]], 1))))
            y = torch.relu(unpool(y, residual.shape[2:]) + residual)
            y = relus(w["decode"][n], y) if n else torch.tanh(conv(w["decode"][0][1], relus(w["decode"][0][:1], y)))
        predicted.append(y)
        if t < len(x) - 1:
            mask = torch.tensor(truth[:, t, None, None, None], dtype=torch.float64)
            new = mask * (2 * x[t] - 1) + (1 - mask) * y
            motion_maps, last = motion(new, last), new
    return predicted


def differences(x):
    """|dx|, |dy| of (T,B,C,H,W), with zeros to the right and below."""
    y = F.pad(x, (0, 1, 0, 1))
    return abs(y[..., :-1, 1:] - x), abs(y[..., 1:, :-1] - x)


def discriminator_weights(rng, size, length, w):
    units = int(np.prod([-(-n // 16) for n in size])) * 8 * w
    norms = [{"gain": 1 + draw(rng, k).detach(), "bias": draw(rng, k).detach()} for k in (2 * w, 4 * w, 8 * w)]
    return {"layers": several(rng, 5, length, w, 2 * w, 4 * w, 8 * w), "last": {"w": draw(rng, units, 1), "b": draw(rng, 1)},
            "norms": [{name: a.requires_grad_() for name, a in norm.items()} for norm in norms]}


def judge(w, clip):
    """(T,B,C,H,W) on [-1, 1] -> logits (B,1)"""
    x = clip.transpose(0, 1).flatten(1, 2)
    for n, layer in enumerate(w["layers"]):
        x = conv(layer, x, stride=2)
        if n:
            x = F.batch_norm(x, None, None, w["norms"][n - 1]["gain"], w["norms"][n - 1]["bias"], training=True, eps=1e-3)
        x = F.leaky_relu(x, 0.2)
    return x.permute(0, 2, 3, 1).flatten(1) @ w["last"]["w"] + w["last"]["b"]  # TensorFlow is channels-last


def our_mcnet(w):
    arrays = our_conv("lstm.from_xh.", *(w["lstm"][gate] for gate in "ifgo"))
    for part in "motion", "content", "residual", "decode":
        for n, stage in enumerate(w[part]):
            for k, layer in enumerate(stage):
                arrays |= our_conv(f"{part}.{n}.layers.{k}.", layer)
    for k, layer in enumerate(w["combine"]):
        arrays |= our_conv(f"combine.layers.{k}.", layer)
    return arrays


def our_discriminator(w):
    arrays = {"to_verdict.weight": w["last"]["w"], "to_verdict.bias": w["last"]["b"]}
    for n, layer in enumerate(w["layers"]):
        arrays |= our_conv(f"layers.{n}.", layer)
    for n, norm in enumerate(w["norms"]):
        arrays |= under(f"norms.{n}.", norm)
    return arrays


def mcnet(rng, size=(9, 12), w=1, colours=2):
    frames = torch.tensor(rng.random((3, 6, *size, colours))).requires_grad_()
    truth = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    weights, critic = mcnet_weights(rng, w, colours), discriminator_weights(rng, size, 6 * colours, w)
    x = frames.permute(1, 0, 4, 2, 3)
    y = torch.stack(mcnet_unroll(weights, x, truth))
    true = 2 * x - 1
    gdl = sum(abs(a - b).mean() for a, b in zip(differences((y + 1) / 2), differences(x[GIVEN:])))
    loss = ((y - true[GIVEN:]) ** 2).mean() + gdl
    fake = torch.cat([true[:GIVEN], y])
    ones, zeros = torch.ones(3, 1, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64)
    bce = F.binary_cross_entropy_with_logits
    of_critic = bce(judge(critic, true), ones) + bce(judge(critic, fake.detach()), zeros)
    whole = loss + 0.02 * bce(judge(critic, fake), ones)

    def ours(w):  # the forget bias of 1 lies in our bias
        arrays = our_mcnet(w)
        return arrays | {"lstm.from_xh.bias": arrays["lstm.from_xh.bias"] + torch.repeat_interleave(torch.tensor([0., 1, 0, 0]), 4)}

    own, of_frames = gradients_of(loss, weights, frames)
    (critics,), (deceiving,) = gradients_of(of_critic, critic), gradients_of(whole, weights)
    found = {"outputs": ((y + 1) / 2).permute(1, 0, 3, 4, 2), "loss": loss, "frames": frames, "gradient/frames": of_frames,
             "discriminator/loss": of_critic, "deceiving/loss": whole}
    return {"truth": truth, **numbers(found), **under("weight/", numbers(ours(weights))), **under("gradient/", numbers(our_mcnet(own))),
            **under("discriminator/weight/", numbers(our_discriminator(critic))),
            **under("discriminator/gradient/", numbers(our_discriminator(critics))),
            **under("deceiving/gradient/", numbers({name: a for name, a in our_mcnet(deceiving).items() if name.endswith("bias")}))}


FILES = {"prednet": prednet, "mcnet": mcnet}


def make(name, seed=0):
    """The arrays of the file NAME.npz; another seed makes another case of the same kind."""
    return FILES[name](np.random.default_rng(seed))


if __name__ == "__main__":
    from writing import write

    write(FILES, make)
