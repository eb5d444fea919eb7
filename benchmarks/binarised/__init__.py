"""Binarised networks on MNIST: do gradients find as much as a search without them?"""
