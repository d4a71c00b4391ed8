// swift-tools-version:6.2
import PackageDescription

// MARK: - The house, one line per room

// A service is a library, a six-line executable and a test target, all named from one word.
// It is built by `service(...)` alone, so none can be given another as a dependency: they
// meet in Contracts, over HTTP and over Kafka.
let rooms: [[Target]] = [
    service(
        "Gateway", at: "Gateway",
        uses: ["Kafka", "CNghttp2", "CZlib", "CZstd", "CBrotli", .nioTLS, .nioSSL, .yaml, .coreMetrics, .arguments],
        documents: ["BENCHMARKS.md", "Bench", "gateway.yaml"], embeds: ["Hub"]),
    service(
        "Auth", uses: [.jwt, .cryptoExtras, "CArgon2", "CCrypt", "CFido2", "CQREncode"],
        testedWith: ["UsersService", "NotificationsService", "GatewayService"], documents: ["BENCHMARKS.md"]),
    service("Users", uses: ["AuditChain"], testedWith: ["AuthService"]),
    service("Content", uses: ["CLibXML2"]),
    service("Assistant"),
    service("Analytics"),
    service("Notifications", uses: ["CCurl"]),
    service("Files", uses: ["CLibXML2"]),
    service("Search", testedWith: ["FilesService"], documents: ["Bench"]),

    // What all that two processes must agree on.
    shared("Contracts", exclude: ["asyncapi.json"]),
    // Typed clients over the C libraries.
    shared("Postgres", exclude: ["Migrate"], uses: ["CLibPQ", "Contracts", .log, .metrics, .tracing, .lifecycle, .deque, .crypto]),
    shared("Redis", uses: ["CHiredis", "Contracts", .log, .metrics, .lifecycle, .deque]),
    shared("Kafka", exclude: ["Broker", "README.md", "ACCESS.md"], uses: ["CRdKafka", "Contracts", .log, .metrics, .lifecycle, .deque]),
    // Outbox, relay, inbox, consumer, dead letters.
    shared(
        "Messaging", exclude: ["Command", "README.md"],
        uses: ["Contracts", "Postgres", "Kafka", .deque, .log, .metrics, .tracing, .lifecycle]
    ),
    // The audit log's hash chain, and the program that checks an export of it.
    shared("AuditChain", exclude: ["Command"], uses: ["Contracts", .crypto]),
    // What every program starts with.
    shared(
        "ServiceKit", exclude: ["Docs"],
        uses: [
            "Contracts", "Postgres", "Redis", "Kafka", "Messaging", .hummingbird, .hummingbirdCore, .httpClient, .jwt, .crypto,
            .cryptoExtras, .nioCore, .nioPosix, .nioHTTP1, .nioFoundation, .log, .metrics, .coreMetrics, .tracing, .lifecycle, .signals,
            .configuration, .httpTypes,
        ]),
    // The programs behind `make run`.
    shared(
        "DevStack", exclude: ["Main", "Demo", "Bench", "install-packages.sh"],
        uses: ["Contracts", .crypto, .nioCore, .nioPosix, .nioHTTP1, .nioFoundation, .httpClient]),
    // The event backbone broken on purpose, under load, with a ledger at the end.
    shared(
        "Drills", exclude: ["Command", "DRILLS.md"],
        uses: ["Contracts", "Kafka", "Messaging", "Postgres", "DevStack", .log, .lifecycle, .signals]),
    program("trionex-drill", at: "Shared/Drills/Command", uses: ["Drills", "Contracts", "Kafka", .arguments]),
    program("trionex-dev", at: "Shared/DevStack/Main", uses: ["DevStack", .arguments]),
    program("trionex-demo", at: "Shared/DevStack/Demo", uses: ["DevStack", .arguments, .httpClient, .nioCore, .nioFoundation, .crypto]),
    program(
        "trionex-bench", at: "Shared/DevStack/Bench",
        uses: ["DevStack", "Contracts", "Postgres", "Kafka", "Messaging", "ServiceKit", .jwt, .cryptoExtras, .log, .arguments]),
    program("trionex-migrate", at: "Shared/Postgres/Migrate", uses: ["Postgres", .arguments, .log]),
    program("trionex-broker", at: "Shared/Kafka/Broker", uses: ["CRdKafka", "Kafka", .arguments]),
    program(
        "trionex-events", at: "Shared/Messaging/Command",
        uses: ["Messaging", "ServiceKit", "Postgres", "Kafka", "Contracts", .arguments, .log]),
    program("trionex-audit", at: "Shared/AuditChain/Command", uses: ["AuditChain", "Contracts", .arguments]),
    program("trionex-docs", at: "Shared/ServiceKit/Docs", uses: .everyService + ["ServiceKit", "Contracts", .log, .arguments]),

    // C libraries of the system: a module map and a shim each.
    [
        .systemLibrary(name: "CLibPQ", path: "Shared/System/CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CHiredis", path: "Shared/System/CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CRdKafka", path: "Shared/System/CRdKafka", providers: [.apt(["librdkafka-dev"])]),
        .systemLibrary(name: "CArgon2", path: "Shared/System/CArgon2", providers: [.apt(["libargon2-dev"])]),
        .systemLibrary(name: "CCrypt", path: "Shared/System/CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "CFido2", path: "Shared/System/CFido2", providers: [.apt(["libfido2-dev", "libcbor-dev"])]),
        .systemLibrary(name: "CQREncode", path: "Shared/System/CQREncode", providers: [.apt(["libqrencode-dev"])]),
        .systemLibrary(name: "CLibXML2", path: "Shared/System/CLibXML2", pkgConfig: "libxml-2.0", providers: [.apt(["libxml2-dev"])]),
        .systemLibrary(name: "CNghttp2", path: "Shared/System/CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CZlib", path: "Shared/System/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", path: "Shared/System/CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CBrotli", path: "Shared/System/CBrotli", pkgConfig: "libbrotlienc", providers: [.apt(["libbrotli-dev"])]),
        .systemLibrary(name: "CCurl", path: "Shared/System/CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    ],

    // The test kit is shared by the tests of every room.
    [
        .target(
            name: "TestKit",
            dependencies: .kit + ["DevStack", "Kafka", .jwt, .cryptoExtras],
            path: "Tests/TestKit", swiftSettings: .strict)
    ],
    tests("Contracts", of: [], exclude: ["Golden", "Baseline"]),
    tests("Postgres", of: []),
    tests("Redis", of: []),
    tests("Kafka", of: [.nioSSL]),
    tests("Messaging", of: []),
    tests("AuditChain", of: ["AuditChain", .crypto]),
    tests("ServiceKit", of: [.jwt, .cryptoExtras]),
    tests("DevStack", of: []),
    tests("Drills", of: ["Drills"]),
    tests("System", of: .everyService),
    tests("Repository", of: [], exclude: ["platform-work.txt"]),
]

extension [Target.Dependency] {
    static var everyService: [Target.Dependency] {
        [
            "GatewayService", "AuthService", "UsersService", "ContentService", "AssistantService", "AnalyticsService",
            "NotificationsService", "FilesService", "SearchService",
        ]
    }
}

// MARK: - How a room is built

/// Strict everywhere: Swift 6 mode, explicit `any`, imports that do not leak, `package` rather than `public`.
extension [SwiftSetting] {
    static var strict: [SwiftSetting] {
        [
            .swiftLanguageMode(.v6),
            .enableUpcomingFeature("ExistentialAny"),
            .enableUpcomingFeature("InternalImportsByDefault"),
            .enableUpcomingFeature("MemberImportVisibility"),
        ]
    }
}

/// What every service may use beside its own libraries.
extension [Target.Dependency] {
    static var kit: [Target.Dependency] {
        [
            "Contracts", "ServiceKit", "Messaging", "Postgres", "Redis", .hummingbird, .httpClient, .httpTypes, .crypto, .nioCore,
            .nioPosix, .nioHTTP1, .nioFoundation, .log, .metrics, .tracing, .lifecycle,
        ]
    }
}

/// What every test target may use.
extension [Target.Dependency] {
    static var tests: [Target.Dependency] { kit + ["TestKit", "DevStack", "Kafka"] }
}

/// `Services/<Name>`: the library `<Name>Service`, the executable `<name>` and the tests `<Name>ServiceTests`.
/// `testedWith` names neighbours that its tests start beside it; the service itself never sees them.
/// `documents` are those of its folder beside the README; the files of the folders `embeds` become bytes of the program.
func service(
    _ name: String, at path: String? = nil, uses: [Target.Dependency] = [], testedWith: [Target.Dependency] = [],
    documents: [String] = [], embeds: [String] = []
) -> [Target] {
    let path = path ?? "Services/\(name)"
    let library: Target.Dependency = .target(name: "\(name)Service")
    let exclude = ["Main", "README.md"] + (path.hasPrefix("Services/") ? ["openapi.json"] : []) + documents
    return [
        .target(
            name: "\(name)Service", dependencies: .kit + uses, path: path, exclude: exclude,
            resources: embeds.map { .embedInCode($0) }, swiftSettings: .strict),
        .executableTarget(name: name.lowercased(), dependencies: [library, "ServiceKit"], path: "\(path)/Main", swiftSettings: .strict),
    ] + tests("\(name)Service", of: [library] + uses + testedWith)
}

/// `Shared/<Name>`: a library.
func shared(_ name: String, exclude: [String] = [], uses: [Target.Dependency] = []) -> [Target] {
    [.target(name: name, dependencies: uses, path: "Shared/\(name)", exclude: exclude, swiftSettings: .strict)]
}

/// A program that is not a service.
func program(_ name: String, at path: String, uses: [Target.Dependency]) -> [Target] {
    [.executableTarget(name: name, dependencies: uses, path: path, swiftSettings: .strict)]
}

/// `Tests/<Name>Tests`. `TRIONEX_ONLY=Content,Search swift test` builds the tests of those rooms alone.
func tests(_ name: String, of targets: [Target.Dependency], exclude: [String] = []) -> [Target] {
    if let only = Context.environment["TRIONEX_ONLY"], !only.isEmpty {
        let wanted = only.split(separator: ",").flatMap { ["\($0)", "\($0)Service"] }
        guard wanted.contains(name) else { return [] }
    }
    return [
        .testTarget(
            name: "\(name)Tests",
            dependencies: .tests + targets,
            path: "Tests/\(name)Tests", exclude: exclude, swiftSettings: .strict)
    ]
}

// MARK: - The libraries we stand on (why each: Shared/Decisions/0002-libraries.md)

extension Target.Dependency {
    static let arguments = product(name: "ArgumentParser", package: "swift-argument-parser")
    static let configuration = product(name: "Configuration", package: "swift-configuration")
    static let coreMetrics = product(name: "CoreMetrics", package: "swift-metrics")
    static let crypto = product(name: "Crypto", package: "swift-crypto")
    static let cryptoExtras = product(name: "CryptoExtras", package: "swift-crypto")
    static let deque = product(name: "DequeModule", package: "swift-collections")
    static let httpClient = product(name: "AsyncHTTPClient", package: "async-http-client")
    static let httpTypes = product(name: "HTTPTypes", package: "swift-http-types")
    static let hummingbird = product(name: "Hummingbird", package: "hummingbird")
    static let hummingbirdCore = product(name: "HummingbirdCore", package: "hummingbird")
    static let jwt = product(name: "JWTKit", package: "jwt-kit")
    static let lifecycle = product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
    static let log = product(name: "Logging", package: "swift-log")
    static let metrics = product(name: "Metrics", package: "swift-metrics")
    static let nioCore = product(name: "NIOCore", package: "swift-nio")
    static let nioFoundation = product(name: "NIOFoundationCompat", package: "swift-nio")
    static let nioPosix = product(name: "NIOPosix", package: "swift-nio")
    static let nioHTTP1 = product(name: "NIOHTTP1", package: "swift-nio")
    static let nioSSL = product(name: "NIOSSL", package: "swift-nio-ssl")
    static let nioTLS = product(name: "NIOTLS", package: "swift-nio")
    static let signals = product(name: "UnixSignals", package: "swift-service-lifecycle")
    static let tracing = product(name: "Tracing", package: "swift-distributed-tracing")
    static let yaml = product(name: "Yams", package: "Yams")
}

let package = Package(
    name: "trionex",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
    ],
    targets: rooms.flatMap { $0 }
)
