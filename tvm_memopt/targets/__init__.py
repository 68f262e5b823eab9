"""Device profiles and toolchains."""
