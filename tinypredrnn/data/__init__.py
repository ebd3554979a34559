"""What networks learn from: Moving MNIST with its digits, and your own frames, as sequences (N,T,H,W,C) uint8."""
