"""The paper's deep experiments (5.2, 5.3, H.2, H.3, I): what is trained, on which data, with which settings."""
