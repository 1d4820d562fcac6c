"""A supernet: one network whose parts are every network of a search space, trained once for all of them.

After Once-for-All (Cai et al. 2020, arXiv:1908.09791) and BigNAS (Yu et al. 2020, arXiv:2003.11142): a network takes
the first channels and the first layers of the largest, the centre of its kernels, and squeeze-and-excitation or none.
"""
