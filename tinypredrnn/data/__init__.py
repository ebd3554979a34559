"""What networks learn from: Moving MNIST with its digits, and frames of one's own, as sequences (N,T,H,W,C) uint8."""
