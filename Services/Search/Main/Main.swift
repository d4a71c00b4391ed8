import SearchService
import ServiceKit

@main struct Main {
    static func main() async { await Launch.run(Search.self) }
}
