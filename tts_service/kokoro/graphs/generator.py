"""The streaming generator as an ONNX graph, built from the weights of the stock file.

The stock generator is an iSTFTNet whose style-adaptive instance norms (AdaIN) take statistics over the whole
utterance. Here every AdaIN is an affine map handed in by the caller, so that a stretch of frames with a little context
around it gives the samples that the whole would give. Tensors are [length, channels]; a convolution is one gather
(im2col) and one u8 x s8 matrix product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tts_service.kokoro.graphs.weights import Weights

GENERATOR = "/decoder/decoder/generator"
CHANNELS = (256, 128)
UPSAMPLING = (10, 6)
DILATIONS = (1, 3, 5)
BINS, N_FFT = 11, 20
BLOCKS = (
    (("noise_res.0", 7), ("resblocks.0", 3), ("resblocks.1", 7), ("resblocks.2", 11)),
    (("noise_res.1", 11), ("resblocks.3", 3), ("resblocks.4", 7), ("resblocks.5", 11)),
)
"""Residual blocks and their kernels, stage by stage, in the order of their affine vectors."""
VECTORS = 4 * len(DILATIONS) * 4
"""Affine vectors of a stage: blocks x rounds x (scale and shift before either convolution)."""

SQUARED_SINE = (9.80177, 30.76695, 30.29187)
"""sin^2(pi r) = r^2 (a - r^2 (b - c r^2)) for |r| <= 1/2, within 0.0008: the least greatest error that a cubic has. The
8-bit activations that it enters are rounded twenty times as coarsely."""

_END = 2**62


def generator_model(weights: Weights) -> onnx.ModelProto:
    """The generator for a stretch of frames.

    Inputs:
        frames: float32 [n, 512], 80 a second, with context.
        source: float32 [300 n + 20], the harmonic source of the same frames and 10 samples more on either side.
        inner: int64 [2], the frames (from, to) within `frames` that the 4,800 Hz stage computes.
        affine0, affine1: float32 [48 x 256] and [48 x 128], see `tts_service.kokoro.voice`.

    Output:
        audio: float32 [300 x (to - from)], 24 kHz.
    """
    graph = Generator(weights).build()
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="pipecat-glm-tts")


class Generator:
    """Collects nodes and initializers under numbered names, so that equal weights give equal bytes."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def build(self) -> onnx.GraphProto:
        """The graph; see `generator_model`."""
        affines = [iter(self._many("Split", f"affine{i}", count=VECTORS, axis=0, num_outputs=VECTORS)) for i in (0, 1)]
        start, end = self._many("Split", "inner", count=2, axis=0, num_outputs=2)
        harmonics, scale, zero = self._many("DynamicQuantizeLinear", self._harmonics("source"), count=3)

        x = self._stage(0, "frames", (harmonics, scale, zero), affines[0])
        x = self._rows(x, self._op("Mul", start, self._ints(10)), self._op("Mul", end, self._ints(10)))
        last = self._op("Add", self._op("Mul", end, self._ints(60)), self._ints(1))
        harmonics = self._rows(harmonics, self._op("Mul", start, self._ints(60)), last)
        x = self._stage(1, x, (harmonics, scale, zero), affines[1])
        self._nodes.append(helper.make_node("Identity", [self._waveform(x)], ["audio"]))

        value, number, count = helper.make_tensor_value_info, TensorProto.FLOAT, TensorProto.INT64
        inputs = [value("frames", number, ["n", 512]), value("source", number, ["samples"]), value("inner", count, [2])]
        inputs += [value(f"affine{i}", number, [VECTORS * CHANNELS[i]]) for i in (0, 1)]
        outputs = [value("audio", number, ["audio_samples"])]
        return helper.make_graph(self._nodes, "generator", inputs, outputs, self._initializers)

    def _harmonics(self, source: str) -> str:
        """STFT of the source at 4,800 Hz: magnitudes and phases, [60 n + 1, 22]."""
        blocks = self._op("Reshape", source, self._ints(-1, 5))
        shifted = [self._rows(blocks, self._ints(i), self._ints(i - 3 or _END)) for i in range(4)]
        time = np.arange(N_FFT)
        angle = 2 * np.pi * np.outer(time, np.arange(BINS)) / N_FFT
        sine = -np.sin(angle) * (np.arange(BINS) % (BINS - 1) > 0)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * time / N_FFT)
        spectra = []
        for basis in (np.cos(angle), sine):
            windowed = self._floats(window[:, None] * basis)
            spectra.append(self._op("MatMul", self._op("Concat", *shifted, axis=1), windowed))
        # Bins 0 and 10 are real: the sign of their phase is an accident of the FFT that the network hears. The stock
        # file has +pi for a negative bin 0 and mostly -pi for bin 10; a vanishing imaginary part reproduces that.
        real, imaginary = spectra[0], self._op("Add", spectra[1], self._floats([1e-12] * (BINS - 1) + [-1e-12]))
        power = self._op("Add", self._op("Mul", real, real), self._op("Mul", imaginary, imaginary))
        principal = self._op("Atan", self._op("Div", imaginary, real))
        half_turn = self._op(
            "Where", self._op("Greater", imaginary, self._floats(0)), *map(self._floats, (np.pi, -np.pi))
        )
        behind = self._op("Less", real, self._floats(0))
        phase = self._op("Where", behind, self._op("Add", principal, half_turn), principal)
        return self._op("Concat", self._op("Sqrt", power), phase, axis=1)

    def _stage(self, stage: int, x: str, harmonics: tuple[str, str, str], affines: Any) -> str:
        """Upsample, add the source, and apply three residual blocks in parallel; their sum, three times the stock's."""
        kernel, stride = ((12, 6), (1, 1))[stage]
        layer = f"{GENERATOR}/noise_convs.{stage}"
        noise = self._convolve(harmonics, layer, kernel, stride=stride, padding=(kernel - stride) // 2)
        (noise_block, noise_kernel), *blocks = BLOCKS[stage]
        noise = self._residual(noise, noise_block, noise_kernel, affines)
        x = self._upsample(stage, self._op("LeakyRelu", x, alpha=0.1))
        if stage == 1:  # reflection padding by one sample on the left
            x = self._op("Concat", self._rows(x, self._ints(1), self._ints(2)), x, axis=0)
        x = self._op("Add", x, noise)
        return self._op("Sum", *(self._residual(x, block, kernel, affines) for block, kernel in blocks))

    def _residual(self, x: str, block: str, kernel: int, affines: Any) -> str:
        for i, dilation in enumerate(DILATIONS):
            scale, shift, scale_within, shift_within = (next(affines) for _ in range(4))
            y = self._snake(self._op("Add", self._op("Mul", x, scale), shift), f"{block}.alpha1.{i}")
            layer = f"{GENERATOR}/{block}/convs1.{i}"
            # The second AdaIN acts on this convolution alone: it becomes the product's own scale and bias.
            y = self._convolve(self._quantise(y), layer, kernel, dilation, scale=scale_within, bias=shift_within)
            y = self._snake(y, f"{block}.alpha2.{i}")
            y = self._convolve(self._quantise(y), f"{GENERATOR}/{block}/convs2.{i}", kernel)
            x = self._op("Add", x, y)
        return x

    def _snake(self, t: str, alpha: str) -> str:
        """`(t + sin^2 t) / alpha` for t in half turns, the affine map before it having multiplied by alpha / pi.

        ONNX Runtime's sine takes ten times as long as a product. Less the nearest integer, r^2 tells the squared sine
        by a cubic.
        """
        remainder = self._op("Sub", t, self._op("Round", t))
        square = self._op("Mul", remainder, remainder)
        first, second, third = (self._floats(factor / np.pi) for factor in SQUARED_SINE)
        sine = self._op("Sub", second, self._op("Mul", square, third))
        sine = self._op("Mul", square, self._op("Sub", first, self._op("Mul", square, sine)))
        inverse = self._floats(np.pi / self._weights[f"decoder.decoder.generator.{alpha}"].ravel())
        return self._op("Mul", self._op("Add", t, sine), inverse)

    def _quantise(self, x: str) -> tuple[str, str, str]:
        values, scale, zero = self._many("DynamicQuantizeLinear", x, count=3)
        return values, scale, zero

    def _convolve(
        self,
        quantised: tuple[str, str, str],
        layer: str,
        kernel: int,
        dilation: int = 1,
        *,
        stride: int = 1,
        padding: int | None = None,
        scale: str | None = None,
        bias: str | None = None,
    ) -> str:
        values, input_scale, zero = quantised
        weight, weight_scale = self._weights.convolution(layer)
        outputs, inputs, _ = weight.shape
        if kernel > 1:
            padding = dilation * (kernel - 1) // 2 if padding is None else padding
            values = self._op("Pad", values, self._ints(padding, 0, padding, 0), zero)
            span = self._op("Sub", self._length(values), self._ints(dilation * (kernel - 1)))
            span = self._op("Squeeze", span)
            rows = self._op("Range", self._scalar(0), span, self._scalar(stride))
            taps = self._constant(np.arange(kernel, dtype=np.int64)[None] * dilation)
            window = self._op("Add", self._op("Unsqueeze", rows, self._ints(1)), taps)
            values = self._op("Gather", values, window, axis=0)
            values = self._op("Reshape", values, self._ints(0, kernel * inputs))
        return self._op(
            "MatMulIntegerToFloat",
            values,
            self._constant(weight.transpose(2, 1, 0).reshape(kernel * inputs, outputs)),
            input_scale,
            scale or self._floats(weight_scale),
            zero,
            "",
            bias or self._floats(self._weights.bias(layer)),
            domain="com.microsoft",
        )

    def _upsample(self, stage: int, x: str) -> str:
        """Transposed convolution, kernel twice the stride: every frame writes its own block and the next one."""
        stride, channels = UPSAMPLING[stage], CHANNELS[stage]
        weight = self._weights[f"{GENERATOR}/Mul{('', '_1')[stage]}_output_0"] / (1, 3)[stage]
        flat = weight.transpose(0, 2, 1).reshape(len(weight), 2 * stride * channels)
        own, following = np.split(flat, 2, axis=1)
        blocks = self._op(
            "Add",
            self._op("Pad", self._op("MatMul", x, self._floats(own)), self._ints(0, 0, 1, 0)),
            self._op("Pad", self._op("MatMul", x, self._floats(following)), self._ints(1, 0, 0, 0)),
        )
        samples = self._op("Reshape", blocks, self._ints(-1, channels))
        samples = self._rows(samples, self._ints(stride // 2), self._ints(-(stride // 2)))
        return self._op("Add", samples, self._floats(self._weights.bias(f"{GENERATOR}/ups.{stage}")))

    def _waveform(self, x: str) -> str:
        """The last convolution and the inverse STFT, without the window sum, as the stock file has it."""
        weight = self._weights[f"{GENERATOR}/Mul_2_output_0"] / 3  # [22, 128, 7]
        reversed_taps = np.concatenate(weight.T[::-1], axis=1)  # [128, 7 x 22]
        taps = self._op("MatMul", self._op("LeakyRelu", x, alpha=0.01), self._floats(reversed_taps))
        z = self._overlap(taps, 7, 2 * BINS)
        z = self._rows(z, self._ints(3), self._ints(-3))
        z = self._op("Add", z, self._floats(self._weights.bias(f"{GENERATOR}/conv_post")))
        logarithm, turn = self._many("Split", z, count=2, axis=1, num_outputs=2)
        magnitude, phase = self._op("Exp", logarithm), self._op("Sin", turn)
        parts = [self._op("Mul", magnitude, self._op(part, phase)) for part in ("Cos", "Sin")]
        basis = self._weights["decoder.decoder.generator.stft.istft.stft.inverse_basis"][:, 0] * 4
        taps = self._op("MatMul", self._op("Concat", *parts, axis=1), self._floats(basis))
        hops = self._rows(self._overlap(taps, 4, 5), self._ints(2), self._ints(-2))
        return self._op("Reshape", hops, self._ints(-1))

    def _overlap(self, taps: str, count: int, width: int) -> str:
        """Overlap-add: piece j of row i goes to row i + j; [n, count x width] -> [n + count - 1, width]."""
        padded = self._op("Pad", taps, self._ints(count - 1, 0, count - 1, 0))
        pieces = [
            self._op(
                "Slice",
                padded,
                self._ints(count - 1 - i, i * width),
                self._ints(-i or _END, (i + 1) * width),
                self._ints(0, 1),
            )
            for i in range(count)
        ]
        return self._op("Sum", *pieces)

    def _many(self, kind: str, *inputs: str, count: int, domain: str = "", **attributes: Any) -> list[str]:
        names = [f"v{len(self._nodes)}_{i}" for i in range(count)]
        self._nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names

    def _op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        return self._many(kind, *inputs, count=1, domain=domain, **attributes)[0]

    def _rows(self, tensor: str, start: str, end: str) -> str:
        return self._op("Slice", tensor, start, end, self._ints(0))

    def _length(self, tensor: str) -> str:
        return self._op("Shape", tensor, start=0, end=1)

    def _constant(self, value: NDArray) -> str:
        name = f"c{len(self._initializers)}"
        self._initializers.append(onnx.numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def _floats(self, value: Any) -> str:
        return self._constant(np.asarray(value, np.float32))

    def _ints(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def _scalar(self, value: int) -> str:
        return self._constant(np.array(value, np.int64))
