// A Go program that does nothing. It shows the minimum cost of a boot.
package main

func main() { select {} }
