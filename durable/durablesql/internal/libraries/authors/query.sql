-- name: CreateAuthor :one
INSERT INTO authors (name, bio, active, rating, created_at) VALUES (?, ?, ?, ?, ?)
RETURNING *;

-- name: GetAuthor :one
SELECT * FROM authors WHERE name = @name LIMIT 1;

-- name: ListAuthors :many
SELECT * FROM authors WHERE active = @active AND id IN (sqlc.slice('ids')) ORDER BY name;

-- name: CountSince :one
SELECT count(*) FROM authors WHERE created_at >= @since;

-- name: RenameAuthor :exec
UPDATE authors SET name = sqlc.arg('new_name'), bio = coalesce(sqlc.narg('bio'), bio) WHERE id = @id;

-- name: DeleteAuthor :execrows
DELETE FROM authors WHERE id = ?;
