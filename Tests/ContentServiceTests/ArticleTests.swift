import ContentService
import Contracts
import Foundation
import TestKit
import Testing

@Suite("Articles")
struct ArticleTests {
    @Test("a draft answers 201 with its place, its entity tag and every field")
    func create() async throws {
        let room = try await Newsroom.open()
        let response = try await room.write(
            "Notes on the engine",
            [
                "slug": "engine-notes", "content": "<p>Weaving</p><script>steal()</script>", "excerpt": "On weaving", "category": "history",
                "tags": ["swift", "linux", "swift"], "featured": true, "metaTitle": "Engine", "metaDescription": "About it",
                "canonicalUrl": "https://example.org/engine", "ogImage": "https://example.org/engine.png",
            ])
        #expect(response.status == 201)
        let id = try #require(response["id"].string)
        #expect(response.header("location") == "/api/v1/content/articles/\(id)")
        #expect(response.header("etag") == "\"v1\"")
        #expect(response["slug"] == "engine-notes")
        #expect(response["content"] == "<p>Weaving</p>")
        #expect(response["status"] == "draft")
        #expect(response["publishedAt"].isNull)
        #expect(response["tags"] == ["swift", "linux"])
        #expect(response["featured"] == true)
        #expect(response["category"] == "history")
        #expect(response["metaTitle"] == "Engine")
        #expect(response["metaDescription"] == "About it")
        #expect(response["canonicalUrl"] == "https://example.org/engine")
        #expect(response["ogImage"] == "https://example.org/engine.png")
        #expect(response["authorId"].string == room.tenant.editor.id.description)
        #expect(response["viewCount"] == 0 && response["likeCount"] == 0 && response["commentCount"] == 0)
        #expect(response["version"] == 1)
        let read = try await room.editor.get(room.path(response))
        #expect(read.json == response.json)
    }

    @Test("an article is read by id or slug, and 304 spares what is known")
    func read() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write()
        let bySlug = try await room.editor.get("\(Newsroom.path)/notes-on-the-engine")
        #expect(bySlug.status == 200)
        #expect(bySlug["id"] == article["id"])
        let upper = try await room.editor.get("\(Newsroom.path)/\(article["id"].string?.uppercased() ?? "")")
        #expect(upper["id"] == article["id"])
        let known = try await room.editor.get(room.path(article), headers: ["if-none-match": room.tag(article)])
        #expect(known.status == 304)
        #expect(known.body.isEmpty)
        for missing in ["no-such-slug", UUID().uuidString, "Not A Slug", "%F0%9F%A6%8A", "%00"] {
            #expect(try await room.editor.get("\(Newsroom.path)/\(missing)").status == 404, "\(missing)")
        }
    }

    @Test("drafts are there for those who may edit, and for nobody else")
    func drafts() async throws {
        let room = try await Newsroom.open()
        let draft = try await room.write("A draft")
        let published = try await room.publish(try await room.write("A published one"))
        #expect(try await room.viewer.get(room.path(draft)).status == 404)
        #expect(try await room.viewer.get("\(Newsroom.path)/a-draft").status == 404)
        #expect(try await room.viewer.get(room.path(published)).status == 200)
        #expect(try await room.titles(room.viewer) == ["A published one"])
        #expect(try await room.titles(room.viewer, "status=draft").isEmpty)
        #expect(try await Set(room.titles(room.editor)) == ["A draft", "A published one"])
    }

    @Test("PUT replaces the fields and keeps the slug when none is given")
    func replace() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write("First", ["excerpt": "short", "tags": ["a"], "featured": true])
        let replaced = try await room.editor.put(
            room.path(article), ["title": "Second", "content": "<p>New</p>"], headers: ["if-match": room.tag(article)])
        #expect(replaced.status == 200)
        #expect(replaced["title"] == "Second")
        #expect(replaced["slug"] == "first")
        #expect(replaced["excerpt"].isNull)
        #expect(replaced["tags"] == [])
        #expect(replaced["featured"] == false)
        #expect(replaced.header("etag") == "\"v2\"")
        #expect(try await room.editor.get(room.path(article)).json == replaced.json)
    }

    @Test("PATCH keeps what is left out, clears what is null and sets the rest (RFC 7396)")
    func patch() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write("First", ["excerpt": "short", "category": "old", "tags": ["a"], "featured": true])
        let patched = try await room.editor.patch(
            room.path(article), ["excerpt": nil, "category": "new", "featured": nil, "slug": "moved"],
            headers: ["content-type": "application/merge-patch+json"])
        #expect(patched.status == 200)
        #expect(patched["title"] == "First")
        #expect(patched["slug"] == "moved")
        #expect(patched["excerpt"].isNull)
        #expect(patched["category"] == "new")
        #expect(patched["tags"] == ["a"])
        #expect(patched["featured"] == false)
        #expect(try await room.editor.get("\(Newsroom.path)/moved").status == 200)
        #expect(try await room.editor.get("\(Newsroom.path)/first").status == 404)
        let refused = try await room.editor.patch(room.path(article), ["title": nil, "content": nil, "slug": nil])
        #expect(refused.status == 400)
        #expect(Set(refused.badFields) == ["/title", "/content", "/slug"])
    }

    @Test("a patch that changes nothing leaves version, time and history alone")
    func idlePatch() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write()
        let patched = try await room.editor.patch(room.path(article), ["title": article["title"]])
        #expect(patched.json == article.json)
        #expect(try await room.editor.get(room.path(article, "/revisions"))["data"] == [])
        #expect(try await room.host.outbox(room.tenant.id).filter { $0.type.contains("article.updated") }.isEmpty)
    }

    @Test("an edit of a version that is not the newest answers 412 and changes nothing", arguments: ["PUT", "PATCH", "DELETE"])
    func stale(method: String) async throws {
        let room = try await Newsroom.open()
        let article = try await room.write()
        let newest = try await room.editor.patch(room.path(article), ["title": "Newer"])
        let stale = ["if-match": room.tag(article)]
        let refused =
            switch method {
            case "PUT": try await room.editor.put(room.path(article), ["title": "X", "content": ""], headers: stale)
            case "PATCH": try await room.editor.patch(room.path(article), ["title": "X"], headers: stale)
            default: try await room.editor.delete(room.path(article), headers: stale)
            }
        #expect(refused.status == 412)
        #expect(refused.problem == "stale-etag")
        #expect(try await room.editor.get(room.path(article)).json == newest.json)
    }

    @Test("of editors who all saw the same version, one wins")
    func race() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write()
        let (path, tag, editor) = (room.path(article), room.tag(article), room.editor)
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<8 {
                group.addTask {
                    try await editor.patch(path, ["title": .string("Edit \(number)")], headers: ["if-match": tag]).status
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 200 }.count == 1)
        #expect(statuses.filter { $0 == 412 }.count == 7)
        #expect(try await room.editor.get(path)["version"] == 2)
    }

    @Test("publication shows the article, a second one answers 409, and so does taking back what is not published")
    func publication() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write()
        let early = try await room.editor.post(room.path(article, "/unpublish"))
        #expect(early.status == 409)
        #expect(early.problem == "article-not-published")
        let published = try await room.publish(article)
        #expect(published.status == 200)
        #expect(published["status"] == "published")
        #expect(published["publishedAt"].string != nil)
        #expect(published["version"] == 2)
        let again = try await room.publish(article)
        #expect(again.status == 409)
        #expect(again.problem == "article-already-published")
        let unpublished = try await room.editor.post(room.path(article, "/unpublish"))
        #expect(unpublished.status == 200)
        #expect(unpublished["status"] == "draft")
        #expect(unpublished["publishedAt"].isNull)
        #expect(try await room.viewer.get(room.path(article)).status == 404)
    }

    @Test("writing does not give the right to publish")
    func publishPermission() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write()
        let writer = try await room.host.client(room.tenant.person(may: "content:read", "content:write"))
        #expect(try await writer.patch(room.path(article), ["title": "Mine"]).status == 200)
        let refused = try await writer.post(room.path(article, "/publish"))
        #expect(refused.status == 403)
        #expect(refused.problem == "missing-permission")
    }

    @Test("a deleted article is gone with its revisions, and its slug is free again")
    func delete() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write("Short-lived")
        _ = try await room.editor.patch(room.path(article), ["title": "Changed"])
        #expect(try await room.editor.delete(room.path(article)).status == 204)
        #expect(try await room.editor.get(room.path(article)).status == 404)
        #expect(try await room.editor.delete(room.path(article)).status == 404)
        #expect(try await room.editor.get(room.path(article, "/revisions")).status == 404)
        #expect(try await room.write("Short-lived")["slug"] == "short-lived")
    }

    @Test("each edit keeps what was there before, publication does not")
    func revisions() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write("First", ["content": "<p>One</p>", "tags": ["a"]])
        _ = try await room.editor.patch(room.path(article), ["title": "Second"])
        _ = try await room.publish(article)
        _ = try await room.editor.patch(room.path(article), ["content": "<p>Three</p>", "tags": nil])
        let list = try await room.editor.get(room.path(article, "/revisions"))
        #expect(list["data"].array.map { $0["version"].int } == [3, 1])
        #expect(list["data"].array.map { $0["title"].string } == ["Second", "First"])
        #expect(list["data"][0]["replacedBy"].string == "person:\(room.tenant.editor.id)")
        let first = try await room.editor.get(room.path(article, "/revisions/1"))
        #expect(first["title"] == "First")
        #expect(first["content"] == "<p>One</p>")
        #expect(first["tags"] == ["a"])
        #expect(try await room.editor.get(room.path(article, "/revisions/2")).status == 404)
        #expect(try await room.editor.get(room.path(article, "/revisions/x")).status == 404)
        #expect(try await room.viewer.get(room.path(article, "/revisions")).status == 403)
        let page = try await room.editor.get(room.path(article, "/revisions?limit=1"))
        let next = try await room.editor.get(room.path(article, "/revisions?limit=1&cursor=\(page["nextCursor"].string ?? "")"))
        #expect(next["data"].array.map { $0["version"].int } == [1])
        #expect(next["nextCursor"].isNull)
    }

    @Test("only as many revisions are kept as the setting says, the newest")
    func revisionLimit() async throws {
        let host = try await TestHost.start(Content.self, environment: ["TRIONEX_CONTENT_REVISIONS": "2"])
        let tenant = TestTenant()
        let editor = try await host.client(tenant.editor)
        let article = try await editor.post(Newsroom.path, ["title": "Version 1", "content": ""])
        let path = "\(Newsroom.path)/\(article["id"].string ?? "")"
        for number in 2...5 { _ = try await editor.patch(path, ["title": .string("Version \(number)")]) }
        #expect(try await editor.get("\(path)/revisions")["data"].array.map { $0["version"].int } == [4, 3])
        try await host.stop()
    }

    @Test("the same Idempotency-Key writes one draft")
    func idempotency() async throws {
        let room = try await Newsroom.open()
        let body: JSONValue = ["title": "Once", "content": ""]
        let headers = ["idempotency-key": UUID().uuidString]
        let first = try await room.editor.post(Newsroom.path, body, headers: headers)
        let second = try await room.editor.post(Newsroom.path, body, headers: headers)
        #expect(first.status == 201 && second.status == 201)
        #expect(second["id"] == first["id"])
        #expect(second.header("idempotency-replayed") == "true")
        #expect(try await room.titles(room.editor) == ["Once"])
    }
}
