package localcluster

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// Objects returns the number of objects that each node owns according to the
// bucket, by the node's number. It does not count the objects of dead nodes.
func (c *Cluster) Objects() map[int]int {
	root := filepath.Join(c.bucket.Dir, prefix, "v1")
	numbers := c.numbers(filepath.Join(root, "nodes"))
	owned := map[int]int{}
	records, _ := filepath.Glob(filepath.Join(root, "do", "*", "*", "own.json"))
	for _, file := range records {
		var owner struct{ Node string }
		if readJSON(file, &owner) == nil {
			owned[numbers[owner.Node]]++
		}
	}
	delete(owned, 0)
	return owned
}

// numbers maps the nodes' ids in the bucket to their numbers, by their
// addresses.
func (c *Cluster) numbers(dir string) map[string]int {
	ids, latest := map[string]int{}, map[int]int64{}
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, file := range files {
		var record struct {
			Node, Address string
			Expires       int64 `json:"expires_ms"`
		}
		if readJSON(file, &record) != nil {
			continue
		}
		for _, n := range c.Nodes {
			if n.advertise == record.Address && n.running() != nil &&
				record.Expires > latest[n.Number] {
				ids[record.Node], latest[n.Number] = n.Number, record.Expires
			}
		}
	}
	return ids
}

func readJSON(file string, v any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
