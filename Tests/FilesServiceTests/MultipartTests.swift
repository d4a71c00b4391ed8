import Contracts
import Foundation
import NIOHTTP1
import TestKit
import Testing

@testable import FilesService

@Suite("Forms")
struct MultipartTests {
    private func form(_ parts: String..., end: String = "--XX--\r\n") -> Data {
        Data((parts.map { "--XX\r\n\($0)\r\n" }.joined() + end).utf8)
    }

    private let head = "Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n"

    @Test("A form with one file is stored with its name and type")
    func plain() async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let created = try await api.uploadForm(form(head + "hello\r\n--X\r\n--XXY is text"))
        #expect(created.status == 400, "a line that begins with the boundary ends the part")
        let good = try await api.uploadForm(form(head + "hello\r\n--X\r\n-- is text\r\r\n\n"))
        #expect(good.status == 201)
        #expect(good["name"].string == "a.txt")
        #expect(good["contentType"].string == "text/plain")
        #expect(try await api.content(try #require(good["id"].string)).text == "hello\r\n--X\r\n-- is text\r\r\n\n")
    }

    @Test("Names as browsers and others write them")
    func names() async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let cases = [
            "form-data; name=\"file\"; filename=\"Zwölf.txt\"": "Zwölf.txt",
            "form-data; name=\"file\"; filename=\"say %22hi%22.txt\"": "say \"hi\".txt",
            "form-data; name=\"file\"; filename=\"say \\\"hi\\\".txt\"": "say \"hi\".txt",
            "FORM-DATA;name=file;filename=bare.txt": "bare.txt",
            "form-data; filename=\"first.txt\"; name=\"file\"": "first.txt",
            "form-data; name=\"file\"; filename=\"C:\\dir\\old.txt\"": "old.txt",
        ]
        for (disposition, name) in cases {
            let created = try await api.uploadForm(form("content-disposition: \(disposition)\r\n\r\nx"))
            #expect(created.status == 201, "\(disposition)")
            #expect(created["name"].string == name)
            #expect(created["contentType"].string == "application/octet-stream")
        }
    }

    @Test("An empty file and a quoted boundary are taken")
    func odd() async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let empty = try await api.uploadForm(form(head))
        #expect(empty.status == 201)
        #expect(empty["size"].int == 0)
        let boundary = "a b:c"
        let quoted = try await api.uploadForm(
            Data("--\(boundary)\r\n\(head)x\r\n--\(boundary)--".utf8), boundary: "\"\(boundary)\"")
        #expect(quoted.status == 201)
    }

    @Test("Everything else is refused with a problem, and nothing is kept")
    func refused() async throws {
        let files = try await FilesHost.start()
        let tenant = TestTenant()
        let api = try await files.client(tenant.user)
        let huge = "X-Long: \(String(repeating: "x", count: 9000))\r\n"
        let field = "Content-Disposition: form-data; name=\"note\"\r\n\r\nhello"
        let cases: [(String, Data, String)] = [
            ("no last boundary", form(head + "x", end: ""), "malformed-multipart"),
            ("cut in the boundary", form(head + "x", end: "--XX-"), "malformed-multipart"),
            ("nothing", Data(), "malformed-multipart"),
            ("no part", Data("--XX--\r\n".utf8), "validation-failed"),
            ("text before", Data("preamble\r\n".utf8) + form(head + "x"), "malformed-multipart"),
            ("text after", form(head + "x") + Data("epilogue".utf8), "malformed-multipart"),
            ("huge head", form(huge + head + "x"), "multipart-head-too-large"),
            ("endless head", form(String(repeating: "A: b\r\n", count: 20) + head + "x"), "multipart-head-too-large"),
            ("folded line", form("A: b\r\n c\r\n" + head + "x"), "malformed-multipart"),
            ("bare line feeds", Data("--XX\nContent-Disposition: form-data\n\nx\n--XX--".utf8), "malformed-multipart"),
            ("no disposition", form("Content-Type: text/plain\r\n\r\nx"), "malformed-multipart"),
            ("header twice", form("Content-Type: a/b\r\n" + head + "x"), "malformed-multipart"),
            ("invalid UTF-8", form("A: ") + Data([0xFF, 0xFE]), "malformed-multipart"),
            ("unknown field", form(head + "x", field), "validation-failed"),
            ("field instead of file", form("Content-Disposition: form-data; name=\"file\"\r\n\r\nx"), "validation-failed"),
            ("two files", form(head + "x", head + "y"), "validation-failed"),
            ("too many parts", form(head + "x", field, field), "validation-failed"),
            ("bad name", form("Content-Disposition: form-data; name=\"file\"; filename=\"..\"\r\n\r\nx"), "validation-failed"),
            (
                "line end in the name", form("Content-Disposition: form-data; name=\"file\"; filename=\"a%0D%0Ab\"\r\n\r\nx"),
                "validation-failed"
            ),
        ]
        for (what, body, problem) in cases {
            let response = try await api.uploadForm(body)
            #expect(response.status == 400, "\(what)")
            #expect(response.problem == problem, "\(what)")
        }
        for boundary in ["", String(repeating: "x", count: 71), "\"bad[]\"", "a; boundary=b"] {
            let response = try await api.uploadForm(form(head + "x"), boundary: boundary)
            #expect(response.problem == "multipart-without-boundary", "\(boundary)")
        }
        let other = try await api.send(
            .POST, "/api/v1/files", bytes: form(head + "x"), headers: ["content-type": "multipart/mixed; boundary=XX"])
        #expect(other.problem == "multipart-without-boundary")
        #expect(try await api.get("/api/v1/files")["data"].array.isEmpty)
        #expect(files.incoming.isEmpty)
        #expect(files.contents(of: tenant.id) == 0)
    }
}

@Suite("The form reader")
struct MultipartParserTests {
    private let form = Data(
        [
            "--B1", "Content-Disposition: form-data; name=\"file\"; filename=\"x\"", "", "one", "--B\r", "--B2", "--B1",
            "Content-Disposition: form-data; name=\"b\"", "", "", "--B1--", "",
        ].joined(separator: "\r\n").utf8)

    /// Events with adjoining pieces of a body put together, which may be cut anywhere.
    private func read(_ pieces: [Data]) throws -> (events: [MultipartParser.Event], complete: Bool) {
        var parser = try #require(MultipartParser(boundary: "B1"))
        var events: [MultipartParser.Event] = []
        for piece in pieces {
            for event in try parser.feed(piece) {
                if case .body(let more) = event, case .body(let before) = events.last {
                    events[events.count - 1] = .body(before + more)
                } else {
                    events.append(event)
                }
            }
        }
        return (events, parser.isComplete)
    }

    private let expected: [MultipartParser.Event] = [
        .part(PartHead(name: "file", fileName: "x", contentType: nil)), .body(Data("one\r\n--B\r\r\n--B2".utf8)), .endOfPart,
        .part(PartHead(name: "b", fileName: nil, contentType: nil)), .endOfPart,
    ]

    @Test("Cut anywhere in two, or into single bytes, it reads the same")
    func cuts() throws {
        for cut in 0...form.count {
            let (events, complete) = try read([Data(form.prefix(cut)), Data(form.dropFirst(cut))])
            #expect(events == expected, "cut at \(cut)")
            #expect(complete)
        }
        let (events, complete) = try read(form.map { Data([$0]) })
        #expect(events == expected)
        #expect(complete)
    }

    @Test("No beginning of a form counts as complete")
    func beginnings() throws {
        // The last line end may be missing.
        for end in 0..<form.count - 2 {
            #expect(try !read([Data(form.prefix(end))]).complete, "\(end) bytes")
        }
    }

    @Test("Whatever bytes come, it refuses or waits, and holds back little")
    func noise() throws {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("-\r\nB1: ;=\"filename".utf8)
        for _ in 0..<500 {
            var noise = Data(form.prefix(Int.random(in: 0...form.count, using: &generator)))
            for _ in 0..<Int.random(in: 0...200, using: &generator) {
                noise.append(alphabet.randomElement(using: &generator) ?? 0)
            }
            var parser = try #require(MultipartParser(boundary: "B1"))
            do {
                var given = 0
                for event in try parser.feed(noise) {
                    if case .body(let data) = event { given += data.count }
                }
                #expect(given <= noise.count)
            } catch {
                #expect(error != .noBoundary)
            }
        }
    }

    @Test("A head without end is refused when it reaches its limit, a body may be of any length")
    func limits() throws {
        var parser = try #require(MultipartParser(boundary: "B1"))
        _ = try parser.feed(Data("--B1\r\n".utf8))
        #expect(throws: MultipartFailure.headTooLarge) {
            for _ in 0..<10 { _ = try parser.feed(Data(repeating: 65, count: 1000)) }
        }
        var many = try #require(MultipartParser(boundary: "B1"))
        let part = Data("--B1\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".utf8)
        #expect(throws: MultipartFailure.tooManyParts) {
            for _ in 0..<20 { _ = try many.feed(part) }
        }
    }
}
