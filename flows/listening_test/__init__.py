"""The web page of a blind listening test; everything about trials, loudness and analysis is in omni_core/listening_test."""
