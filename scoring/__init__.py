"""From a feature vector to a decision, without any I/O: manifest, model, reasons, decision."""
