import Contracts
import DevStack
import Foundation
import Testing

@testable import GatewayService
@testable import TestKit

/// TLS and HTTP/2 with clients of other makers, from their first byte to an upstream and back.
@Suite("TLS end to end", .serialized)
struct TLSGatewayTests {
    /// A gateway that speaks TLS, and what its clients need to know.
    struct Place {
        let town: Town
        let files: TLSTests.Files
        let port: Int
        let token: String
        var folder: String { files.folder }

        /// Runs a program and returns what it printed.
        func run(_ program: String, _ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) async throws -> (
            code: Bool, text: String
        ) {
            let result = try await ManagedProcess.run(
                ProcessLaunch("/usr/bin/env", [program] + arguments, log: folder + "/\(UUID().uuidString).log"))
            return (result.exit.succeeded, result.output)
        }

        func curl(_ path: String, _ more: [String] = []) async throws -> (code: Bool, text: String) {
            try await run("curl", ["-sS", "--max-time", "20", "--cacert", files.certificate] + more + ["https://localhost:\(port)\(path)"])
        }

        func python(_ program: String, _ arguments: [String] = []) async throws -> (code: Bool, text: String) {
            try await run("python3", ["-c", Self.prelude + program, "\(port)", folder, token] + arguments)
        }

        private static let prelude = """
            import os, socket, ssl, sys, time
            port, folder, token = int(sys.argv[1]), sys.argv[2], sys.argv[3]
            def open_connection(ca, protocols=("http/1.1",)):
                context = ssl.create_default_context(cafile=ca)
                context.set_alpn_protocols(list(protocols))
                raw = socket.create_connection(("127.0.0.1", port), timeout=10)
                return context.wrap_socket(raw, server_hostname="localhost")
            def head(s):
                got = b""
                while b"\\r\\n\\r\\n" not in got:
                    part = s.recv(1)
                    if not part: break
                    got += part
                return got
            def ask(s):
                s.sendall(b"GET /api/v1/content/open HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
                got = head(s)
                length = int(got.lower().split(b"content-length:")[1].split(b"\\r\\n")[0])
                while length > 0: length -= len(s.recv(length))
                return got.split(b" ")[1].decode()

            """
    }

    static func with(_ settings: [String: String] = [:], _ body: (Place) async throws -> Void) async throws {
        let files = try TLSTests.Files(TestCertificate(name: "first"))
        let port = try Ports.free()
        let own = [
            "TRIONEX_TLS_PORT": "\(port)", "TRIONEX_TLS_CERTIFICATE": files.certificate, "TRIONEX_TLS_KEY": files.key,
            "TRIONEX_LIMIT_ADDRESS_PER_MINUTE": "10000000", "TRIONEX_LIMIT_PRINCIPAL_PER_MINUTE": "10000000",
        ]
        let token = try await TestPerson(.owner, in: TenantID.make()).token()
        try await Town.with(own.merging(settings) { _, new in new }) { town in
            try await body(Place(town: town, files: files, port: port, token: token))
        }
    }

    @Test("HTTP/2 is agreed on where a client offers it, HTTP/1.1 otherwise; services and clients learn that the way was encrypted")
    func agreement() async throws {
        try await Self.with { place in
            for (option, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
                let result = try await place.curl(
                    "/api/v1/content/open", [option, "-D", "-", "-w", "\n%{http_version} %{http_code} %{ssl_verify_result}"])
                #expect(result.code && result.text.hasSuffix("\n\(version) 200 0"), "\(option): \(result.text)")
                #expect(result.text.lowercased().contains("strict-transport-security: max-age="), "\(option): \(result.text)")
                #expect(result.text.lowercased().contains("\"x-forwarded-proto\":\"https\""), "\(option): \(result.text)")
            }
            let plain = try await rawGet("/api/v1/content/open", to: place.town.port).lowercased()
            #expect(plain.contains("\"x-forwarded-proto\":\"http\"") && !plain.contains("strict-transport-security"))
        }
    }

    @Test("TLS 1.2 is refused unless the settings allow it", arguments: ["1.3", "1.2"])
    func versions(minimum: String) async throws {
        try await Self.with(["TRIONEX_TLS_MINIMUM": minimum]) { place in
            let old = try await place.curl("/api/v1/content/open", ["--tls-max", "1.2", "-o", "/dev/null", "-w", "%{http_code}"])
            #expect(old.code == (minimum == "1.2") && (minimum == "1.3" || old.text == "200"), "\(old.text)")
            let new = try await place.curl("/api/v1/content/open", ["--tlsv1.3", "-o", "/dev/null", "-w", "%{http_code}"])
            #expect(new.code && new.text == "200", "\(new.text)")
        }
    }

    @Test("Tokens, bodies of a megabyte both ways, HEAD and refusals, several on one connection", arguments: ["--http2", "--http1.1"])
    func requests(option: String) async throws {
        try await Self.with { place in
            let bearer = ["-H", "Authorization: Bearer \(place.token)"]
            let article = "/api/v1/content/articles/0190a0e0-0000-7000-8000-000000000001"
            let twice = try await place.curl(
                article,
                [
                    option, "-o", "/dev/null", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n",
                    "https://localhost:\(place.port)\(article)",
                ] + bearer)
            #expect(twice.code && twice.text == "200 1\n200 0\n", "\(twice.text)")
            let refused = try await place.curl(article, [option, "-w", "\n%{http_code} %{content_type}"])
            #expect(refused.text.hasSuffix("401 application/problem+json"), "\(refused.text)")
            let sent = Data((0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 10) })
            let path = place.folder + "/sent"
            try sent.write(to: URL(filePath: path))
            for coding in [[], ["-H", "Transfer-Encoding: chunked"]] where option == "--http1.1" || coding.isEmpty {
                let back = try await place.curl(
                    "/api/v1/content/mirror",
                    [
                        option, "--data-binary", "@\(path)", "-H", "Content-Type: application/octet-stream", "-o", path + ".back", "-w",
                        "%{http_code}",
                    ]
                        + bearer + coding)
                #expect(back.code && back.text == "200", "\(back.text)")
                #expect(try Data(contentsOf: URL(filePath: path + ".back")) == sent)
            }
            let large = try await place.curl(
                "/api/v1/content/large?chunks=100", [option, "-o", "/dev/null", "-w", "%{http_code} %{size_download}"] + bearer)
            #expect(large.text == "200 6553600", "\(large.text)")
            let head = try await place.curl(article, [option, "-I", "-w", "%{http_code} %{size_download}"] + bearer)
            #expect(head.code && head.text.hasSuffix("200 0"), "\(head.text)")
        }
    }

    @Test("Thousands of requests over many streams at once, none of them lost")
    func manyStreams() async throws {
        try await Self.with { place in
            let result = try await place.run(
                "h2load",
                [
                    "-n", "3000", "-c", "4", "-m", "100", "-H", "Authorization: Bearer \(place.token)",
                    "https://localhost:\(place.port)/api/v1/content/articles/0190a0e0-0000-7000-8000-000000000001",
                ])
            #expect(result.text.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"), "\(result.text.suffix(900))")
            #expect(result.text.contains("status codes: 3000 2xx"), "\(result.text.suffix(900))")
        }
    }

    @Test("A new certificate is shown to new connections while old ones go on; files that do not fit change nothing")
    func replaced() async throws {
        try await Self.with { place in
            let next = try TLSTests.Files(TestCertificate(name: "second"))
            let result = try await place.python(
                """
                second = sys.argv[4]
                old = open_connection(folder + "/certificate.pem")
                print(ask(old), old.version(), old.selected_alpn_protocol())
                def put(name, text):
                    with open(folder + "/" + name + ".new", "w") as f: f.write(text)
                    os.replace(folder + "/" + name + ".new", folder + "/" + name)
                def text(name): return open(second + "/" + name).read()
                first = open(folder + "/certificate.pem").read()
                put("key.pem", text("key.pem"))
                time.sleep(2.5)
                with open(folder + "/first.pem", "w") as f: f.write(first)
                print("half", ask(open_connection(folder + "/first.pem")))
                put("certificate.pem", text("certificate.pem"))
                end = time.time() + 10
                while True:
                    try:
                        new = open_connection(second + "/certificate.pem")
                        break
                    except ssl.SSLError:
                        if time.time() > end: raise
                        time.sleep(0.05)
                print("new", ask(new), "old", ask(old))
                put("certificate.pem", "nonsense")
                time.sleep(2.5)
                print("nonsense", ask(open_connection(second + "/certificate.pem")), ask(new), ask(old))
                """, [next.folder])
            #expect(result.text == "200 TLSv1.3 http/1.1\nhalf 200\nnew 200 old 200\nnonsense 200 200 200\n", "\(result.text)")
        }
    }

    @Test("A WebSocket passes through TLS, and ends on both sides")
    func webSocket() async throws {
        let upstream = try await FaultyUpstream.start()
        let scratch = try ScratchDirectory("trionex-tls-websocket")
        defer { scratch.remove() }
        let file = scratch.path + "/gateway.yaml"
        try Data("routes: [{ match: GET \(FaultTown.path(.websocket)), upgrade: true }]".utf8).write(to: URL(filePath: file))
        try await Self.with(["TRIONEX_CONTENT_URL": upstream.url, "TRIONEX_GATEWAY_FILE": file]) { place in
            let result = try await place.python(
                """
                s = open_connection(folder + "/certificate.pem")
                s.sendall(b"GET \(FaultTown.path(.websocket)) HTTP/1.1\\r\\nHost: localhost\\r\\n"
                    b"Upgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n")
                print(head(s).split(b"\\r\\n")[0].decode())
                for _ in range(3):
                    s.sendall(bytes([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]))
                    print(s.recv(100)[2:].decode())
                s.sendall(bytes([0x88, 0x80, 0, 0, 0, 0]))
                print(s.recv(100).hex(), s.recv(100))
                """)
            #expect(result.text == "HTTP/1.1 101 Switching Protocols\nHello\nHello\nHello\n8800 b''\n", "\(result.text)")
            try await eventually("the upstream's connection is gone") { upstream.counters.open <= 2 }
        }
        await upstream.kill()
    }

    @Test("At the end of the program TLS connections that are idle are closed at once, and answers under way are finished")
    func drained() async throws {
        try await Self.with(["TRIONEX_HTTP_DRAIN_SECONDS": "20"]) { place in
            async let result = place.python(
                """
                idle, busy = open_connection(folder + "/certificate.pem"), open_connection(folder + "/certificate.pem")
                ask(idle)
                busy.sendall(b"POST /api/v1/content/mirror HTTP/1.1\\r\\nHost: localhost\\r\\n"
                    b"Authorization: Bearer " + token.encode() + b"\\r\\nContent-Length: 10\\r\\n\\r\\nfirst")
                print(head(busy).split(b"\\r\\n")[0].decode())
                open(folder + "/ready", "w").close()
                start = time.time()
                # One that is not closed at once is closed after the 20 s of the drain.
                print(idle.recv(1), time.time() - start < 12)
                busy.sendall(b"other")
                got = b""
                while True:
                    part = busy.recv(100)
                    if not part: break
                    got += part
                print(b"first" in got and b"other" in got and got.endswith(b"\\r\\n0\\r\\n\\r\\n"))
                """)
            try await eventually("both stand") { FileManager.default.fileExists(atPath: place.folder + "/ready") }
            await place.town.beginStop()
            let text = try await result.text
            #expect(text == "HTTP/1.1 200 OK\nb'' True\nTrue\n", "\(text)")
            let start = ContinuousClock.now
            await place.town.ended()
            #expect(ContinuousClock.now - start < .seconds(12))
        }
    }
}
