import ContentService
import ServiceKit

@main struct Main {
    static func main() async { await Launch.run(Content.self) }
}
