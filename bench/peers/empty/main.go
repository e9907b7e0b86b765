// A Go program that does nothing: what a boot costs at least.
package main

func main() { select {} }
