"""rgmkit: restoration-based generative models for inverse problems."""
