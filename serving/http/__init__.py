"""What every HTTP process of ours shares: admission, problem documents, the protocol."""
