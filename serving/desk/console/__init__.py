"""The investigators' console: pages rendered here, without a build step."""
