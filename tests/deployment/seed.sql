-- The schema of a chat application in the manner of Open WebUI, with rows made by :chats and :objects (of :object_bytes).
\set ON_ERROR_STOP 1
begin;
create table alembic_version (version_num varchar(32) primary key);
insert into alembic_version values ('3781e22d8b01');
create table "user" (
    id text primary key, name text not null, email text not null unique, role text not null, profile_image_url text,
    created_at bigint not null, updated_at bigint not null, settings json, info json, oauth_sub text unique
);
create table auth (id text primary key references "user" (id), email text not null, password text not null, active boolean not null);
create table chat (
    id text primary key, user_id text not null references "user" (id), title text not null, chat json,
    created_at bigint not null, updated_at bigint not null, share_id text unique, archived boolean not null default false,
    pinned boolean default false, meta json default '{}', folder_id text
);
create index chat_user on chat (user_id, updated_at desc);
create table file (
    id text primary key, user_id text not null, filename text not null, path text, hash text, data json, meta jsonb,
    content oid, created_at bigint, updated_at bigint
);
create table knowledge (
    id text primary key, user_id text not null, name text not null, description text, data json, meta json,
    created_at bigint, updated_at bigint
);
create table tag (id text not null, name text, user_id text not null, meta json, primary key (id, user_id));
-- What a dump easily gets wrong: a table without a key, a generated column, a sequence that went on, a type of its own, a view.
create type message_kind as enum ('question', 'answer');
create table feedback (
    seq bigint generated always as identity, kind message_kind not null, rating numeric(3, 1), comment text,
    length int generated always as (char_length(comment)) stored
);
create table event_log (at timestamptz not null default now(), what text);
create view active_user as select u.id, u.name from "user" u join auth a on a.id = u.id where a.active;
create function touch() returns trigger language plpgsql as $body$
begin
    new.updated_at := greatest(new.updated_at, old.updated_at) + 1; -- keeps; order
    return new;
end;
$body$;
create trigger chat_touch before update on chat for each row execute function touch();

insert into "user"
select 'u' || n, 'Person "' || n || '" Ünïcode ''', 'p' || n || '@example.org', case when n = 1 then 'admin' else 'user' end,
    '/user.png', 1700000000 + n, 1700000000 + n, json_build_object('ui', json_build_object('theme', 'dark')), null, null
from generate_series(1, greatest(3, :chats / 10)) n;
insert into auth select id, email, '$2b$12$' || md5(id), true from "user";
insert into chat
select 'c' || n, 'u' || (1 + n % (select count(*) from "user")), 'Chat ' || n,
    json_build_object('messages', (
        select json_agg(json_build_object('role', case when m % 2 = 0 then 'user' else 'assistant' end,
            'content', (select string_agg(md5(n || ':' || m || ':' || k), ' ') from generate_series(1, 40) k)))
        from generate_series(1, 6) m)),
    1700000000 + n, 1700000000 + n, null, n % 7 = 0, false, '{}', null
from generate_series(1, :chats) n;
insert into knowledge select 'k' || n, 'u1', 'Knowledge ' || n, 'none', null, null, 1, 1 from generate_series(1, 5) n;
insert into tag select 't' || n, 'tag ' || n, 'u1', null from generate_series(1, 7) n;
insert into feedback (kind, rating, comment)
select case when n % 2 = 0 then 'question' else 'answer' end::message_kind, n % 10, repeat('x', n) from generate_series(1, 20) n;
insert into event_log (what) select 'same' from generate_series(1, 4);
commit;

-- Random bytes do not compress, so that the size of a dump follows from that of the objects. Made by blocks, each a
-- transaction.
create function pg_temp.noise(seed text, bytes int) returns bytea language sql as $$
    select substring(string_agg(sha512(convert_to(seed || ':' || n, 'UTF8')), '' order by n) from 1 for bytes)
    from generate_series(0, bytes / 64) n
$$;
select format($$insert into file select 'f%1$s-' || n, 'u1', 'upload-%1$s-' || n || '.bin', '/app/backend/data/uploads/%1$s-' || n,
    null, null, '{"kind": "upload"}', lo_from_bytea(0, pg_temp.noise('%1$s-' || n, %2$s)), 1, 1
    from generate_series(1, %3$s) n$$, block, :object_bytes, least(20, :objects - block * 20))
from generate_series(0, (:objects - 1) / 20) block where :objects > 0
\gexec
