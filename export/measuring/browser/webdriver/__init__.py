"""The system's browsers, driven by the W3C's WebDriver protocols: BiDi for Firefox, the classic one for WebKit."""
