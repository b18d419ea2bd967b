"""Official StyleGAN2 pickles, read without running anything in them."""
