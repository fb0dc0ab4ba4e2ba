"""The graphs that are computed with, made of the nodes and weights of the stock file.

Begin with `front`, which cuts the stock graph: symbols to frames. `generator`: frames to samples. Both are exact on
every CPU by `saturation`; `float_model` is the same in floats, to
compare with.

May know: ONNX and each other. `derived` builds and keeps them.
"""
