"""Networks in other forms: safetensors, ONNX and torch.export files, and official StyleGAN2 pickles."""
