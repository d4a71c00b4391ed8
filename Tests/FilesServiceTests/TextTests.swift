import Contracts
import Foundation
import TestKit
import Testing

@testable import FilesService

@Suite("The text of files")
struct TextTests {
    struct Sample: Sendable, CustomTestStringConvertible {
        let type: String
        let content: Data
        let text: String
        var testDescription: String { type }

        init(_ type: String, _ content: Data, _ text: String) {
            self.type = type
            self.content = content
            self.text = text
        }

        init(_ type: String, _ content: String, _ text: String) { self.init(type, Data(content.utf8), text) }
    }

    /// An organization, its files, and search that asks for their texts.
    struct Shelf {
        let files: FilesHost
        let tenant = TestTenant()

        static func open(_ files: FilesHost? = nil) async throws -> Shelf {
            if let files { return Shelf(files: files) }
            return Shelf(files: try await FilesHost.shared.value)
        }

        func store(_ content: Data, type: String) async throws -> String {
            let response = try await files.client(tenant.owner).upload(content, name: "some.file", type: type)
            return try #require(response["id"].string, "\(response.text)")
        }

        func text(_ id: String, of tenant: TenantID? = nil) async throws -> TestResponse {
            try await files.host.client(service: .search).get("/internal/v1/files/\(id)/text?organization=\(tenant ?? self.tenant.id)")
        }

        func read(_ content: Data, type: String) async throws -> FileText {
            let id = try await store(content, type: type)
            var response = try await text(id)
            // Tests run all at once, and PDFs are read two at a time.
            while response.problem == "texts-busy" {
                try await Task.sleep(for: .milliseconds(200))
                response = try await text(id)
            }
            #expect(response.status == 200, "\(response.text.prefix(500))")
            return try response.decode(FileText.self)
        }
    }

    @Test(
        "is given for each kind that has one, whatever its bytes were written in",
        arguments: [
            Sample("text/plain", "Grüße aus Köln\r\nzweite Zeile", "Grüße aus Köln\nzweite Zeile"),
            Sample("Text/Plain; charset=utf-8", "\u{FEFF}marked", "marked"),
            Sample("text/markdown", "# Title\n\n*words*", "# Title\n\n*words*"), Sample("text/csv", "a;b\n1;2", "a;b\n1;2"),
            Sample("text/plain", Data("Gr\u{FC}\u{DF}e \u{80}".unicodeScalars.map { UInt8($0.value) }), "Grüße €"),
            Sample("text/plain", Data([0xFF, 0xFE]) + Data("wide".utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }), "wide"),
            Sample("text/plain", Data([0xFE, 0xFF]) + Data("wide".utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }), "wide"),
            Sample("text/plain", Data("Köln, Köln ".utf8) + [0xC3] + Data(" one broken".utf8), "Köln, Köln \u{FFFD} one broken"),
            Sample("text/plain", "one NUL\u{0} in a long enough text", "one NUL  in a long enough text"),
            Sample("application/json", #"{"na\u00efve": "one\ntwo \ud83d\ude00 \"x\""}"#, #"{"naïve": "one two 😀 "x""}"#),
            Sample("application/json", #"{"cut\"#, #"{"cut\"#), Sample("application/json", #"{"cut\u00"#, "{\"cut "),
            Sample("application/pdf", SamplePDF.pages(["Quarterly report", "second page"]), "Quarterly report\n\nsecond page\n\n"),
            Sample("text/html", "<p>One<b>word</b> &amp; caf&eacute; &#8364;</p><p>next<!-- not -->", "Oneword & café € next"),
            Sample(
                "text/html",
                "<html><head><title>Head</title><style>p { x: y }</style><script>var a = '<p>no</p>'</script></head><body onload='evil()'>"
                    + "<template><p>no</p></template><iframe src=x>no</iframe><div>Body<br>text</div><script>if (1 < 2) {}</script></body>",
                "Head Body text"),
        ])
    func kinds(_ sample: Sample) async throws {
        let read = try await Shelf.open().read(sample.content, type: sample.type)
        #expect(read == FileText(text: sample.text, isCut: false))
    }

    @Test(
        "is empty for other kinds, for nothing, and for what is not what it says",
        arguments: [
            Sample("image/png", Data([0x89, 0x50, 0x4E, 0x47]), ""), Sample("application/octet-stream", "words", ""),
            Sample("text/plain", "", ""), Sample("application/pdf", "", ""), Sample("application/pdf", "not a PDF at all", ""),
            Sample("application/pdf", Data.sample(3_000_000), ""), Sample("application/pdf", Data(count: 3_000_000), ""),
            Sample("application/pdf", SamplePDF.pages(["cut short"]).prefix(120), ""),
            Sample("text/plain", Data([0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]), ""),
            Sample("text/html", "<script>only()", ""),
        ])
    func none(_ sample: Sample) async throws {
        let read = try await Shelf.open().read(sample.content, type: sample.type)
        #expect(read == FileText(text: "", isCut: false))
    }

    @Test("ends at its bound, and says so", arguments: ["text/plain", "application/json", "text/html"])
    func bound(type: String) async throws {
        let shelf = try await Shelf.open()
        for content in [String(repeating: "abcd ", count: 50_000), String(repeating: "äöü€ ", count: 300_000)] {
            let read = try await shelf.read(Data(content.utf8), type: type)
            let (length, isCut, isBeginning) = (read.text.unicodeScalars.count, read.isCut, content.hasPrefix(read.text))
            #expect(length == FileText.maximumLength && isCut && isBeginning)
        }
        let whole = String(repeating: "abcde", count: FileText.maximumLength / 5)
        let isWhole = try await shelf.read(Data(whole.utf8), type: type) == FileText(text: whole, isCut: false)
        #expect(isWhole)
    }

    @Test("of a long PDF ends at its bound")
    func longPDF() async throws {
        let pages = (0..<600).map { page in (0..<40).map { "word\(page)x\($0) on its line" }.joined(separator: "\n") }
        let read = try await Shelf.open().read(SamplePDF.pages(pages), type: "application/pdf")
        let (length, isCut) = (read.text.unicodeScalars.count, read.isCut)
        #expect(length == FileText.maximumLength && isCut)
        let hasBeginning = read.text.hasPrefix("word0x0 on its line\nword0x1 on")
        #expect(hasBeginning)
    }

    @Test("of HTML that nests without end is read to a depth, soon")
    func nesting() async throws {
        let shelf = try await Shelf.open()
        let start = ContinuousClock.now
        for part in ["<div>", "<b>", "<x></y>", "<!--", "&#", "<a b=", "</"] {
            let read = try await shelf.read(Data(("found " + String(repeating: part, count: 400_000)).utf8), type: "text/html")
            let isBegun = read.text.hasPrefix("found")
            #expect(isBegun, "\(part)")
        }
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    @Test("of a PDF that would be read for ever is given up, while the service goes on")
    func hostilePDF() async throws {
        let files = try await FilesHost.start()
        let shelf = try await Shelf.open(files)
        let hostile = try await shelf.store(SamplePDF.billionWords, type: "application/pdf")
        let plain = try await shelf.store(Data("plain".utf8), type: "text/plain")
        async let answer = shelf.text(hostile)
        try await Task.sleep(for: .milliseconds(500))
        #expect(try await shelf.text(plain)["text"] == "plain")
        #expect(try await answer.status == 200)
        #expect(try await shelf.read(SamplePDF.pages(["still here"]), type: "application/pdf").text == "still here\n\n")
    }

    @Test("of PDFs is read two at a time; whoever comes meanwhile is told to come again")
    func busy() async throws {
        let script = NSTemporaryDirectory() + "slow-pdftotext-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: script) }
        try Data("#!/bin/sh\nsleep 3\necho slow\n".utf8).write(to: URL(filePath: script))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script)
        let shelf = try await Shelf.open(
            try await FilesHost.start(directory: FilesHost.newDirectory(), ["TRIONEX_FILES_PDFTOTEXT": script]))
        let id = try await shelf.store(SamplePDF.pages(["x"]), type: "application/pdf")
        let plain = try await shelf.store(Data("plain".utf8), type: "text/plain")
        let answers: [TestResponse] = try await withThrowingTaskGroup(of: TestResponse.self) { group in
            for _ in 0..<4 { group.addTask { try await shelf.text(id) } }
            #expect(try await shelf.text(plain)["text"] == "plain")
            var answers: [TestResponse] = []
            for try await answer in group { answers.append(answer) }
            return answers
        }
        #expect(answers.map(\.status).sorted() == [200, 200, 503, 503])
        for answer in answers {
            #expect(
                answer.status == 200 ? answer["text"] == "slow\n" : answer.problem == "texts-busy" && answer.header("retry-after") != nil)
        }
    }

    @Test("of PDFs is missing where pdftotext is, and the log says so once")
    func missing() async throws {
        let files = try await FilesHost.start(directory: FilesHost.newDirectory(), ["TRIONEX_FILES_PDFTOTEXT": "/nowhere/pdftotext"])
        let shelf = try await Shelf.open(files)
        for _ in 0..<3 { #expect(try await shelf.read(SamplePDF.pages(["unread"]), type: "application/pdf").text.isEmpty) }
        #expect(try await shelf.read(Data("plain".utf8), type: "text/plain").text == "plain")
        #expect(files.host.log.lines.count { $0.contains("install poppler-utils") } == 1)
    }

    @Test("is given of files that are there, to programs, for the organization that owns them")
    func access() async throws {
        let shelf = try await Shelf.open()
        let other = TestTenant()
        let id = try await shelf.store(Data("confidential".utf8), type: "text/plain")
        #expect(try await shelf.text(id)["text"] == "confidential")
        for answer in [
            try await shelf.text(id, of: other.id), try await shelf.text(FileID.make().description), try await shelf.text("no-id"),
            try await shelf.text(id, of: .platform),
        ] {
            #expect(answer.status == 404 && answer.problem == "not-found")
        }
        let path = "/internal/v1/files/\(id)/text?organization=\(shelf.tenant.id)"
        #expect(try await shelf.files.client(shelf.tenant.owner).get(path).status == 403)
        #expect(try await shelf.files.client(nil).get(path).status == 401)
        let program = try await shelf.files.host.client(service: .search)
        #expect(try await program.get("/internal/v1/files/\(id)/text").status == 400)
        #expect(try await program.get("/internal/v1/files/\(id)/text?organization=all").status == 400)
        #expect(try await program.get("/api/v1/files/\(id)").status == 403)
        #expect(try await shelf.files.client(shelf.tenant.owner).delete("/api/v1/files/\(id)").status == 204)
        #expect(try await shelf.text(id).status == 404)
    }

    @Test("is not given of content that is not what was stored")
    func damaged() async throws {
        let files = try await FilesHost.start()
        let shelf = try await Shelf.open(files)
        let id = try await shelf.store(Data("words".utf8), type: "text/plain")
        let path = files.path(id, of: shelf.tenant.id)
        var sealed = try Data(contentsOf: URL(filePath: path))
        sealed[sealed.count - 1] ^= 1
        try sealed.write(to: URL(filePath: path))
        #expect(try await shelf.text(id).status == 500)
        #expect(files.host.log.lines.contains { $0.contains("stored content is damaged") && $0.contains(id) })
    }
}

@Suite("A confined program")
struct ConfinedProgramTests {
    private static func run(
        _ program: String, _ arguments: String..., input: Data = Data(), maximumOutput: Int = 100_000, within limit: Duration = .seconds(30)
    ) async throws -> ConfinedProgram.Output {
        let program = try #require(ConfinedProgram(program, arguments))
        return try await program.run(input: input, maximumOutput: maximumOutput, within: limit)
    }

    private static func text(_ output: ConfinedProgram.Output) -> String { String(decoding: output.bytes, as: UTF8.self) }

    @Test("has nothing of ours: no environment, no open files, no directory")
    func isolation() async throws {
        #expect(Self.text(try await Self.run("env")) == "LC_ALL=C.UTF-8\n")
        #expect(Self.text(try await Self.run("pwd")) == "/\n")
        // The fourth is the directory that is being listed.
        #expect(Self.text(try await Self.run("ls", "/proc/self/fd")) == "0\n1\n2\n3\n")
    }

    @Test("is bounded in memory, processor time, open files and what it may write")
    func limits() async throws {
        let limits = try await Self.run("sh", "-c", "ulimit -v; ulimit -t; ulimit -n; ulimit -c; ulimit -f")
        #expect(Self.text(limits) == "262144\n10\n32\n0\n0\n")
        let file = NSTemporaryDirectory() + "confined-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        _ = try await Self.run("sh", "-c", "echo written > \(file)")
        #expect((try? Data(contentsOf: URL(filePath: file)))?.isEmpty ?? true)
    }

    @Test("is ended when its time is over, and so is what it started")
    func time() async throws {
        let output = try await Self.run("sh", "-c", "sleep 60 & echo $!; echo $$; exec sleep 60", within: .seconds(1))
        #expect(output.ranOut && output.isCut)
        let started = Self.text(output).split(separator: "\n").compactMap { pid_t($0) }
        #expect(started.count == 2)
        for process in started {
            try await TrionexTesting.eventually("\(process) is gone") {
                let state = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
                return state?.contains(" Z ") ?? true
            }
        }
    }

    @Test("is ended when it says more than is wanted")
    func output() async throws {
        let output = try await Self.run("yes", maximumOutput: 1_000)
        #expect(output.isCut && !output.ranOut && output.bytes.count == 1_000)
    }

    @Test("is given its input whole, and need not take it")
    func input() async throws {
        let input = Data.sample(10_000_000)
        #expect(Self.text(try await Self.run("wc", "-c", input: input)) == "10000000\n")
        #expect(try await Self.run("cat", input: input, maximumOutput: 20_000_000).bytes == input)
        #expect(try await Self.run("true", input: input).bytes.isEmpty)
        #expect(try await Self.run("sh", "-c", "exec <&-; echo deaf", input: input).bytes == Data("deaf\n".utf8))
    }

    @Test("is none when it is not installed")
    func missing() {
        #expect(ConfinedProgram("no-such-program", []) == nil)
        #expect(ConfinedProgram("cat", [], path: "/nowhere") == nil)
        #expect(ConfinedProgram("cat", []) != nil)
    }
}
