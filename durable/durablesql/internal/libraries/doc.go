// Package libraries has small programs that use the database through libraries
// of others. Its tests run them in an object.
package libraries
