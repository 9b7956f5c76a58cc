"""The published network, NCSN++ with an auxiliary variable, and its discriminators.

Parameters have the published names, so that published weights can be loaded.

Sources: Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations", ICLR 2021
(NCSN++); Xiao, Kreis and Vahdat, "Tackling the Generative Learning Trilemma with Denoising Diffusion GANs",
ICLR 2022 (the auxiliary variable, the discriminators); Choi, Park and Kang, ICML 2023 (as a restorer).
"""
