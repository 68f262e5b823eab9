"""Plain Python versions of the native code: oracles for its tests."""
