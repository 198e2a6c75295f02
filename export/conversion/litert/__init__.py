"""LiteRT (.tflite) files; most of it runs in the converter process."""
