"""Networks fitted to one recording, plain and with a mollifier layer: the paper's comparison."""
