/// The developer hub's files, `Gateway/Hub`, as they are built into the program, and what else is served beside them.
enum HubFiles {
    struct File: Sendable {
        let path: String
        let contentType: String
        let contentSecurityPolicy: String
        let bytes: [UInt8]
    }

    /// The page may load its own files and ask its own origin, and nothing else; it cannot be framed, and nothing can be made markup by script.
    static let pagePolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        + "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    /// For what is no page.
    static let inertPolicy = "default-src 'none'; frame-ancestors 'none'"

    /// Nothing here is for search engines: the hub is a tool, and the interface behind it is no text.
    private static let robots = "User-agent: *\nDisallow: /\n"

    static let all: [File] = [
        page("/docs", PackageResources.index_html),
        page("/docs/", PackageResources.index_html),
        inert("/docs/hub.css", "text/css; charset=utf-8", PackageResources.hub_css),
        script("/docs/hub.js", PackageResources.hub_js),
        script("/docs/document.js", PackageResources.document_js),
        script("/docs/schema.js", PackageResources.schema_js),
        script("/docs/navigation.js", PackageResources.navigation_js),
        script("/docs/operation.js", PackageResources.operation_js),
        script("/docs/tryout.js", PackageResources.tryout_js),
        script("/docs/request.js", PackageResources.request_js),
        script("/docs/access.js", PackageResources.access_js),
        script("/docs/elements.js", PackageResources.elements_js),
        inert("/docs/favicon.svg", "image/svg+xml", PackageResources.favicon_svg),
        inert("/favicon.ico", "image/svg+xml", PackageResources.favicon_svg),
        inert("/robots.txt", "text/plain; charset=utf-8", Array(robots.utf8)),
    ]

    private static func page(_ path: String, _ bytes: [UInt8]) -> File {
        File(path: path, contentType: "text/html; charset=utf-8", contentSecurityPolicy: pagePolicy, bytes: bytes)
    }

    private static func script(_ path: String, _ bytes: [UInt8]) -> File { inert(path, "text/javascript; charset=utf-8", bytes) }

    private static func inert(_ path: String, _ contentType: String, _ bytes: [UInt8]) -> File {
        File(path: path, contentType: contentType, contentSecurityPolicy: inertPolicy, bytes: bytes)
    }
}
