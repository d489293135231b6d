//go:build tools

// Package tools pins the object store's source, so that go.sum verifies every module of the build.
package tools

import _ "github.com/minio/minio"
