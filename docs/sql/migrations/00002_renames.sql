-- +goose Up
CREATE TABLE renames (user_id INTEGER NOT NULL REFERENCES users (id), old TEXT NOT NULL);
CREATE TRIGGER note_rename AFTER UPDATE OF name ON users BEGIN
  INSERT INTO renames VALUES (old.id, old.name);
END; -- a trigger needs no StatementBegin here

-- +goose Down
DROP TABLE renames;
